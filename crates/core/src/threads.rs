//! The threads on which blocking work is done, kept once they are there: a process at its limit could not have others.
//!
//! Tokio's own pool begins a thread whenever none is idle just now, though one is about to be: with its bound far above
//! what runs at a time, for calls that never come back, a busy process would have all of them in the end. Here the
//! bound is what runs at a time, and moves with those calls.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), threads: 0, idle: 0 });
static WAITING: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does a job on the next thread that is free; begins one if there are fewer than `most`. A panic ends the job alone.
///
/// # Errors
/// When there is no thread at all, and none to be had.
pub fn spawn(job: Job, most: usize) -> io::Result<()> {
    let begin = {
        let mut pool = pool();
        pool.jobs.push_back(job);
        let begin = pool.jobs.len() > pool.idle && pool.threads < most;
        pool.threads += usize::from(begin);
        begin
    };
    if !begin {
        WAITING.notify_one();
        return Ok(());
    }
    let begun = std::thread::Builder::new().name("baileys-auth".to_owned()).spawn(work);
    begun.map(drop).or_else(|error| {
        let mut pool = pool();
        pool.threads -= 1;
        if pool.threads > 0 {
            return Ok(()); // the others come to it
        }
        let jobs = std::mem::take(&mut pool.jobs);
        drop(pool);
        drop(jobs);
        Err(error)
    })
}

fn work() {
    loop {
        let job = {
            let mut pool = pool();
            loop {
                if let Some(job) = pool.jobs.pop_front() {
                    break job;
                }
                pool.idle += 1;
                pool = WAITING.wait(pool).unwrap_or_else(PoisonError::into_inner);
                pool.idle -= 1;
            }
        };
        // Whoever waits for it learns of it by what it has dropped.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
