//! An answer that may come before a promise is worth while.
//!
//! A small write takes a thread that is awake a few microseconds; a promise takes the event loop to sleep and back,
//! several times as long. So where such a thread is waiting, the JavaScript thread stays for its answer a moment, and
//! makes the promise only when it does not come.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auth_core::error::{Error, Result};

use napi::bindgen_prelude::ToNapiValue;

use crate::answer::Answer;

/// How long the JavaScript thread stays, at the most.
const MOMENT: Duration = Duration::from_micros(25);

enum State<T: ToNapiValue + Send + 'static> {
    Nothing,
    Answered(Result<T>),
    Promised(Answer<T>),
    Over,
}

/// Where a reply and the one who waits for it meet.
pub struct Quick<T: ToNapiValue + Send + 'static>(Arc<(AtomicBool, Mutex<State<T>>)>);

/// Sees to it that a reply that is dropped is an answer too.
pub struct Replying<T: ToNapiValue + Send + 'static>(Quick<T>);

impl<T: ToNapiValue + Send + 'static> Quick<T> {
    pub fn new() -> Self {
        Self(Arc::new((AtomicBool::new(false), Mutex::new(State::Nothing))))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end that answers.
    pub fn replying(&self) -> Replying<T> {
        Replying(Self(self.0.clone()))
    }

    fn answer(&self, result: Result<T>) {
        let before = {
            let mut state = self.state();
            match &*state {
                State::Nothing => {
                    *state = State::Answered(result);
                    self.0.0.store(true, Ordering::Release);
                    return;
                }
                State::Promised(_) => std::mem::replace(&mut *state, State::Over),
                State::Answered(_) | State::Over => return,
            }
        };
        if let State::Promised(answer) = before {
            answer.settle(result);
        }
    }

    /// Stays a moment for the answer.
    pub fn stay(&self) -> Option<Result<T>> {
        let end = Instant::now() + MOMENT;
        while !self.0.0.load(Ordering::Acquire) {
            if Instant::now() >= end {
                return None;
            }
            for _ in 0..16 {
                spin_loop();
            }
        }
        self.take()
    }

    fn take(&self) -> Option<Result<T>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(result) => Some(result),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Hands the answer to a promise, if it has not come just now.
    pub fn promise(&self, answer: Answer<T>) {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(result) => {
                drop(state);
                answer.settle(result);
            }
            _ => *state = State::Promised(answer),
        }
    }
}

impl<T: ToNapiValue + Send + 'static> Replying<T> {
    pub fn reply(self, result: Result<T>) {
        self.0.answer(result);
    }
}

impl<T: ToNapiValue + Send + 'static> Drop for Replying<T> {
    fn drop(&mut self) {
        self.0.answer(Err(Error::internal("a call was dropped without an answer")));
    }
}
