//! Credentials: what Rust has to know of `creds.json` (whose identity it holds, and whether it is paired), and
//! the keys of a fresh identity.

use std::collections::HashMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint, Scalar};
use serde::Deserialize as _;
use serde_bytes::{ByteBuf, Bytes};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256, Sha512};

use crate::error::{Code, Error, Result};

/// A public identity key (`signedIdentityKey.public`), without its version byte: who an account is.
pub type Identity = [u8; 32];

/// What is known of stored credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whose they are.
    pub identity: Identity,
    /// `account` is there: the phone has confirmed the link.
    pub paired: bool,
    /// SHA-256 of the text.
    pub hash: [u8; 32],
}

/// Credentials as they are stored.
#[derive(Clone, Debug)]
pub struct Creds {
    /// The JSON text, as it is in the file.
    pub text: Vec<u8>,
    /// What is known of it.
    pub summary: Summary,
}

impl Creds {
    /// Judges the text of a `creds.json`.
    ///
    /// # Errors
    /// What is wrong with it: not JSON, or without identity keys of 32 bytes.
    pub fn judge(text: Vec<u8>) -> Result<Self, &'static str> {
        if !crate::value::is_json(&text) {
            return Err(if text.is_empty() { "is empty" } else { "is not whole JSON" });
        }
        let lossy = String::from_utf8_lossy(&text);
        let (identity, paired) = identity_of(&lossy)
            .ok_or("is not a creds.json of Baileys: it has no identity keys of 32 bytes")?;
        let hash = Sha256::digest(&text).into();
        Ok(Self { summary: Summary { identity, paired, hash }, text })
    }
}

// Keys as bytes: a lone surrogate in one is fine for V8, and no text for Rust.
type Fields<'a> = HashMap<ByteBuf, &'a RawValue>;

fn fields(json: &str) -> Option<Fields<'_>> {
    Fields::deserialize(&mut serde_json::Deserializer::from_str(json)).ok()
}

fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a str> {
    fields.get(Bytes::new(name.as_bytes())).map(|raw| raw.get())
}

fn identity_of(text: &str) -> Option<(Identity, bool)> {
    let creds = fields(text)?;
    let pair = fields(field(&creds, "signedIdentityKey")?)?;
    let public = bytes_of(field(&pair, "public")?)?.try_into().ok()?;
    let _private: [u8; 32] = bytes_of(field(&pair, "private")?)?.try_into().ok()?;
    let paired = field(&creds, "account").is_some_and(|account| account.starts_with('{'));
    Some((public, paired))
}

/// The bytes of a Buffer in any form that Baileys' `BufferJSON`, 6 or 7, reads.
fn bytes_of(json: &str) -> Option<Vec<u8>> {
    let object = fields(json)?;
    let typed = field(&object, "type") == Some("\"Buffer\"");
    if typed || field(&object, "buffer") == Some("true") {
        let data = field(&object, "data").or_else(|| field(&object, "value").filter(|_| !typed))?;
        if typed && data.starts_with('"') {
            return Some(from_base64(&serde_json::from_str::<String>(data).ok()?));
        }
        // The forms of Baileys 6 have two fields and no more.
        if object.len() != 2 {
            return None;
        }
        return serde_json::from_str::<Vec<u8>>(data)
            .ok()
            .or_else(|| serde_json::from_str::<String>(data).ok().map(|text| from_base64(&text)));
    }
    let mut bytes = Vec::new();
    while let Some(byte) = field(&object, &bytes.len().to_string()) {
        bytes.push(serde_json::from_str::<u8>(byte).ok()?);
    }
    (bytes.len() == object.len()).then_some(bytes)
}

/// Base64 as Node reads it: either alphabet, padded or not, up to the first `=`, and whatever is no digit left out.
#[must_use]
pub fn from_base64(text: &str) -> Vec<u8> {
    let digits = text.bytes().take_while(|byte| *byte != b'=').filter_map(|byte| match byte {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => Some(byte),
        _ if byte.is_ascii_alphanumeric() => Some(byte),
        _ => None,
    });
    let mut digits: Vec<u8> = digits.collect();
    // A single digit at the end is no byte.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(digits).unwrap_or_default()
}

/// A Curve25519 key pair: 32 bytes each, the public key without its version byte, the private one clamped.
#[derive(Clone)]
pub struct KeyPair {
    /// The u-coordinate.
    pub public: [u8; 32],
    /// The scalar.
    pub private: [u8; 32],
}

/// The random part of fresh credentials, as Baileys' `initAuthCreds` has it.
pub struct FreshIdentity {
    /// Of the connection's handshake.
    pub noise: KeyPair,
    /// Of a login by pairing code.
    pub pairing_ephemeral: KeyPair,
    /// The identity.
    pub identity: KeyPair,
    /// The signed pre-key, number 1.
    pub signed_pre_key: KeyPair,
    /// The identity's XEdDSA signature over the signed pre-key's 33-byte prefixed public key.
    pub signature: [u8; 64],
    /// 14 bits.
    pub registration_id: u16,
    /// `advSecretKey`: 32 bytes, base64.
    pub adv_secret: String,
}

/// The version byte before a Curve25519 public key in the Signal protocol (DJB type).
const KEY_TYPE: u8 = 5;

/// Bytes from the operating system's random number generator.
///
/// # Errors
/// `Failed` when it has none to give.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(Code::Failed, format!("the operating system gives no random numbers: {error}"))
    })?;
    Ok(bytes)
}

impl KeyPair {
    fn generate() -> Result<Self> {
        let private = clamp(random()?);
        Ok(Self { public: MontgomeryPoint::mul_base_clamped(private).to_bytes(), private })
    }

    /// XEdDSA (Signal's specification, revision 1): an Ed25519 signature by a Curve25519 key.
    fn sign(&self, message: &[u8], random: &[u8; 64]) -> [u8; 64] {
        let mut secret = Scalar::from_bytes_mod_order(self.private);
        let mut public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
        // The verifier knows the u-coordinate alone, and takes the point whose sign bit is 0.
        if public.last().is_some_and(|last| last & 0x80 != 0) {
            secret = -secret;
            public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
        }
        let mut prefix = [0xff; 32];
        prefix[0] = 0xfe;
        let nonce = scalar_of(&[&prefix, &secret.to_bytes(), message, random]);
        let commitment = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
        let challenge = scalar_of(&[&commitment, &public, message]);
        let mut signature = [0; 64];
        let (first, second) = signature.split_at_mut(32);
        first.copy_from_slice(&commitment);
        second.copy_from_slice(&(nonce + challenge * secret).to_bytes());
        signature
    }
}

fn clamp(mut scalar: [u8; 32]) -> [u8; 32] {
    scalar[0] &= 0xf8;
    scalar[31] = (scalar[31] & 0x7f) | 0x40;
    scalar
}

fn scalar_of(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    for part in parts {
        hash.update(part);
    }
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// Makes a new identity. Nothing of it is stored yet.
///
/// # Errors
/// `Failed` when the operating system has no randomness.
pub fn fresh_identity() -> Result<FreshIdentity> {
    let identity = KeyPair::generate()?;
    let signed_pre_key = KeyPair::generate()?;
    let mut message = [KEY_TYPE; 33];
    let (_, key) = message.split_at_mut(1);
    key.copy_from_slice(&signed_pre_key.public);
    let signature = identity.sign(&message, &random()?);
    Ok(FreshIdentity {
        noise: KeyPair::generate()?,
        pairing_ephemeral: KeyPair::generate()?,
        identity,
        signed_pre_key,
        signature,
        registration_id: u16::from_le_bytes(random()?) & 0x3fff,
        adv_secret: base64::engine::general_purpose::STANDARD.encode(random::<32>()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creds(public: &str) -> String {
        format!(
            r#"{{"a\ud800":"\ud800","me":{{"id":"1"}},"signedIdentityKey":{{"private":{public},"public":{public}}}}}"#
        )
    }

    #[test]
    fn identity_keys_are_found_in_every_form_that_baileys_reads() {
        let base64 = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let array = format!("{:?}", [7; 32]);
        let map: Vec<String> = (0..32).map(|i| format!("\"{i}\":7")).collect();
        for form in [
            format!(r#"{{"type":"Buffer","data":"{base64}"}}"#),
            format!(r#"{{"type":"Buffer","data":{array}}}"#),
            format!(r#"{{"buffer":true,"value":"{base64}"}}"#),
            format!("{{{}}}", map.join(",")),
        ] {
            let judged = Creds::judge(creds(&form).into_bytes()).unwrap();
            assert_eq!(judged.summary.identity, [7; 32], "{form}");
            assert!(!judged.summary.paired);
        }
    }

    #[test]
    fn what_has_no_identity_is_no_creds() {
        let short = creds(r#"{"type":"Buffer","data":"AAAA"}"#);
        for text in ["", "null", "{}", "[]", "1", "{\"signedIdentityKey\":null}", &short] {
            assert!(Creds::judge(text.as_bytes().to_vec()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_registration_id_has_14_bits_and_keys_differ() {
        let (a, b) = (fresh_identity().unwrap(), fresh_identity().unwrap());
        assert!(a.registration_id < 1 << 14);
        assert_ne!(a.identity.public, b.identity.public);
        assert_ne!(a.identity.public, a.noise.public);
    }
}
