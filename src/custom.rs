//! Custom backends: calls that Rust makes into JavaScript, and the answers. The table of calls is the core's; here they
//! become objects, on the way out and back. It does not keep an environment alive, and ends with it.

use std::sync::Arc;

use auth_core::backend::{Call, Calls, Question};
use auth_core::error::{Code, Error, Result as CoreResult};
use auth_core::registry::{self, Slot};
use napi::bindgen_prelude::{External, Function, Object, Status};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result};
use napi_derive::napi;

use crate::options::OpenedAccount;
use crate::{Environment, promised};

type Deliver = ThreadsafeFunction<Asked, (), Asked, Status, false, true>;

/// A question to a custom backend.
#[napi(object, object_from_js = false)]
pub struct Asked {
    /// Under which it is answered.
    pub number: u32,
    /// Which backend is asked.
    pub backend: u32,
    /// The name of the function in `lib/custom.js` that answers.
    pub question: String,
    /// Credentials.
    pub text: Option<String>,
    /// The type of the keys.
    #[napi(js_name = "type")]
    pub key_type: Option<String>,
    /// Types of a commit, parallel to `ids` and `texts`.
    pub types: Option<Vec<String>>,
    /// Ids of a load or a commit.
    pub ids: Option<Vec<String>>,
    /// Values of a commit; `null` deletes.
    pub texts: Option<Vec<Option<String>>>,
    /// The number of an error.
    pub error: Option<u32>,
}

impl From<Call> for Asked {
    fn from(Call { number, backend, question }: Call) -> Self {
        let empty = Self {
            number,
            backend,
            question: String::new(),
            text: None,
            key_type: None,
            types: None,
            ids: None,
            texts: None,
            error: None,
        };
        let named = |question: &str| Self { question: question.to_owned(), ..empty };
        match question {
            Question::LoadCreds => named("loadCreds"),
            Question::SaveCreds(text) => Self { text: Some(text), ..named("saveCreds") },
            Question::Load(key_type, ids) => {
                Self { key_type: Some(key_type), ids: Some(ids), ..named("load") }
            }
            Question::Commit(changes) => {
                let (mut types, mut ids, mut texts) = (Vec::new(), Vec::new(), Vec::new());
                for (key, value) in changes {
                    types.push(key.key_type);
                    ids.push(key.id);
                    texts.push(value.map(|value| String::from_utf8_lossy(&value.text).into_owned()));
                }
                Self { types: Some(types), ids: Some(ids), texts: Some(texts), ..named("commit") }
            }
            Question::List(key_type) => Self { key_type: Some(key_type), ..named("list") },
            Question::Clear => named("clear"),
            Question::Close => named("close"),
            Question::Forget => named("forget"),
            Question::ForgetError(error) => Self { error: Some(error), ..named("forgetError") },
        }
    }
}

/// Why a call failed, as `lib/custom.js` says it.
#[napi(object, object_to_js = false)]
pub struct Thrown {
    /// Without its prefix; what is none of ours is `IO`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The key's type.
    #[napi(js_name = "type")]
    pub key_type: Option<String>,
    /// The key's id.
    pub id: Option<String>,
    /// It is not known whether the call took effect.
    pub outcome_unknown: bool,
    /// The number under which JavaScript keeps the error itself.
    pub error: u32,
}

/// Begins to make calls into this environment, through `ask`.
///
/// # Errors
/// When the environment is ending.
#[napi(catch_unwind)]
pub fn start_calls(env: &Env, ask: Function<Asked, ()>) -> Result<External<Arc<Calls>>> {
    let deliver: Deliver = ask.build_threadsafe_function::<Asked>().weak::<true>().build()?;
    let calls = Calls::new(move |call| {
        deliver.call(Asked::from(call), ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok
    });
    // What was asked and will not be answered any more must not be waited for.
    env.add_env_cleanup_hook(calls.clone(), |calls| calls.end())?;
    Ok(External::new(calls))
}

/// Where the store of one custom account is found.
#[napi(catch_unwind)]
pub fn custom_slot() -> External<Slot> {
    External::new(Slot::default())
}

/// Opens an account of the custom backend with this number.
///
/// # Errors
/// When the environment is ending; everything else is in the answer.
#[napi(catch_unwind)]
pub fn open_custom<'env>(
    env: &'env Env,
    environment: &External<Environment>,
    listener: u32,
    calls: &External<Arc<Calls>>,
    slot: &External<Slot>,
    backend: u32,
    create: bool,
) -> Result<Object<'env>> {
    let listener = environment.listener(listener);
    let (calls, slot) = (Arc::clone(calls), Slot::clone(slot));
    promised(env, async move {
        registry::open_custom(listener, slot, calls, backend, create).await.map(OpenedAccount::from)
    })
}

/// Answers a call.
#[napi(catch_unwind)]
pub fn answer_call(calls: &External<Arc<Calls>>, number: u32, texts: Vec<Option<String>>) {
    calls.answer(number, Ok(texts));
}

/// Says why a call failed.
#[napi(catch_unwind)]
pub fn fail_call(calls: &External<Arc<Calls>>, number: u32, thrown: Thrown) {
    let failed: CoreResult<Vec<Option<String>>> = Err(to_error(calls, thrown));
    calls.answer(number, failed);
}

fn to_error(calls: &Arc<Calls>, thrown: Thrown) -> Error {
    let Thrown { code, message, key_type, id, outcome_unknown, error } = thrown;
    Error::new(Code::from_name(&code).unwrap_or(Code::Io), message).with(|details| {
        details.key_type = key_type;
        details.id = id;
        details.outcome_unknown = outcome_unknown;
        details.thrown = Some(calls.thrown(error));
    })
}
