//! A promise that settles exactly once, from whatever thread.

use auth_core::error::{Error, Result};
use napi::bindgen_prelude::{Either, Object, ToNapiValue};
use napi::{Env, JsDeferred};

use crate::error::Failure;

/// What a promise resolves to when its call failed.
#[napi_derive::napi(object, object_from_js = false)]
pub struct Rejected {
    /// What `lib/` makes an error of.
    pub failure: Failure,
}

impl From<&Error> for Rejected {
    fn from(error: &Error) -> Self {
        Self { failure: Failure::from(error) }
    }
}

type Settled<V> = Either<Rejected, V>;
type Resolver<V> = Box<dyn FnOnce(Env) -> napi::Result<Settled<V>> + Send>;

/// The other end of a promise. Dropped unsettled (a panic somewhere) it settles as a failure: nobody waits for ever.
pub struct Answer<V: ToNapiValue + Send + 'static>(Option<JsDeferred<Settled<V>, Resolver<V>>>);

impl<V: ToNapiValue + Send + 'static> Answer<V> {
    /// A pending promise, which keeps the process alive, and its other end.
    pub fn new(env: &Env) -> napi::Result<(Self, Object<'_>)> {
        let (deferred, promise) = env.create_deferred()?;
        Ok((Self(Some(deferred)), promise))
    }

    /// Settles the promise.
    pub fn settle(mut self, result: Result<V>) {
        self.resolve(result);
    }

    fn resolve(&mut self, result: Result<V>) {
        if let Some(deferred) = self.0.take() {
            let settled = match result {
                Ok(value) => Either::B(value),
                Err(error) => Either::A(Rejected::from(&error)),
            };
            deferred.resolve(Box::new(move |_| Ok(settled)));
        }
    }
}

impl<V: ToNapiValue + Send + 'static> Drop for Answer<V> {
    fn drop(&mut self) {
        self.resolve(Err(Error::internal("a call was dropped without an answer")));
    }
}
