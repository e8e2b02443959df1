//! From a core error to what `lib/error.js` makes a JavaScript error of: the whole mapping, in one place.

use std::sync::Arc;

use auth_core::backend::Thrown;
use auth_core::error::Error;
use napi::bindgen_prelude::External;

/// The fields of an error that apply to it.
#[napi_derive::napi(object, object_from_js = false)]
pub struct Failure {
    /// Without its prefix `ERR_AUTH_`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The file or folder.
    pub path: Option<String>,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// Where in the file, in bytes.
    pub offset: Option<f64>,
    /// Who holds the store.
    pub pid: Option<u32>,
    /// Where that process runs.
    pub host: Option<String>,
    /// The operating system's code.
    pub errno: Option<String>,
    /// What the layer below said.
    pub cause: Option<String>,
    /// Text that is not JSON.
    pub text: Option<String>,
    /// `unknown` when it is not known whether the call took effect.
    pub outcome: Option<String>,
    /// The number of what a custom backend threw.
    pub thrown: Option<u32>,
    /// JavaScript keeps that error as long as this is held.
    pub holds: Option<External<Arc<Thrown>>>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let details = error.details().clone();
        Self {
            code: details.code.name().to_owned(),
            message: details.message,
            path: details.path,
            key_type: details.key_type,
            id: details.id,
            offset: details.offset.map(lossy),
            pid: details.pid,
            host: details.host,
            errno: details.errno,
            cause: details.cause,
            text: details.text,
            outcome: details.outcome_unknown.then(|| "unknown".to_owned()),
            thrown: details.thrown.as_ref().map(|thrown| thrown.number),
            holds: details.thrown.map(External::new),
        }
    }
}

/// A number as JavaScript has it: exact up to 2^53, which no file of ours reaches.
#[allow(clippy::as_conversions, clippy::cast_precision_loss)]
pub fn lossy(number: u64) -> f64 {
    number as f64
}

/// An error to be thrown at once, by a call that has no promise.
pub fn to_throw(error: Error) -> napi::Error {
    napi::Error::from_reason(error.to_string())
}
