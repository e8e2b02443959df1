//! Work on many things by several threads, with the results in order and few of them in memory at a time.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use crate::error::Result;

/// Things that one thread does in a wave.
const SHARE: usize = 256;
/// More threads than this only wait for each other in the kernel.
const MAX_THREADS: usize = 4;

/// Does `work` on each thing, and `take`s the results in order: the results of one wave while the next one is at work.
/// Few things are done by the caller alone, one after another.
///
/// # Errors
/// The first that `take` gives.
pub(super) fn in_waves<T: Sync, R: Send>(
    things: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(usize, R) -> Result<()>,
) -> Result<()> {
    if things.len() <= SHARE {
        return things.iter().enumerate().try_for_each(|(place, thing)| take(place, work(thing)));
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let mut ready: Vec<Vec<R>> = Vec::new();
    let mut place = 0;
    // One more round than there are waves, to take what the last one gave.
    let waves = things.chunks(SHARE * threads).map(Some).chain([None]);
    for wave in waves {
        ready = thread::scope(|scope| {
            let work = &work;
            let share = |share| scope.spawn(move || share_of(share, work));
            let working: Vec<ScopedJoinHandle<'_, Vec<R>>> =
                wave.into_iter().flat_map(|wave: &[T]| wave.chunks(SHARE)).map(share).collect();
            for result in std::mem::take(&mut ready).into_iter().flatten() {
                take(place, result)?;
                place += 1;
            }
            Ok(working
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect())
        })?;
    }
    Ok(())
}

fn share_of<T, R>(share: &[T], work: &impl Fn(&T) -> R) -> Vec<R> {
    share.iter().map(work).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};

    #[test]
    fn results_come_in_order_whatever_their_number() {
        for count in [0, 1, 255, 256, 257, 1024, 1025, 5000] {
            let things: Vec<usize> = (0..count).collect();
            let mut seen = Vec::new();
            in_waves(
                &things,
                |thing| thing * 2,
                |place, twice| {
                    assert_eq!(place * 2, twice);
                    seen.push(twice);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(seen.len(), count);
        }
    }

    #[test]
    fn an_error_ends_it() {
        let things: Vec<usize> = (0..5000).collect();
        let error = in_waves(
            &things,
            |thing| *thing,
            |_, thing| {
                if thing == 3000 { Err(Error::new(Code::Aborted, "3000")) } else { Ok(()) }
            },
        );
        assert_eq!(error.unwrap_err().to_string(), "3000");
    }
}
