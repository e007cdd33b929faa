//! Work that is shared out among threads.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::actor::HostError;

/// Lets so many threads do the same at the same time. The first error is the result.
pub(crate) fn at_once<E: From<HostError> + Send>(
    count: usize,
    work: impl Fn() -> Result<(), E> + Sync,
) -> Result<(), E> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(&work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| {
                Err(HostError::Harness("a worker thread panicked".to_owned()).into())
            })
        })
    })
}

/// Does something with each of the items, which so many workers take in turns, those that `wait`
/// first: nobody is to wait for them in the end. What became of them comes in the order of the
/// items. Each worker begins for itself and ends with what it has after the last item.
pub(crate) fn each<I: Sync, W, T: Send, E: From<HostError> + Send>(
    count: usize,
    items: &[I],
    wait: impl Fn(&I) -> bool,
    begin: impl Fn() -> Result<W, E> + Sync,
    work: impl Fn(&mut W, &I) -> Result<T, E> + Sync,
    end: impl Fn(W) + Sync,
) -> Result<Vec<T>, E> {
    let mut turns: Vec<_> = items.iter().enumerate().collect();
    turns.sort_by_key(|(_, item)| !wait(item));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    at_once(count.min(items.len()), || -> Result<(), E> {
        let mut worker = begin()?;
        while let Some(&(index, item)) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(&mut worker, item)?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
        end(worker);
        Ok(())
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|&(index, _)| index);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_whoever_was_first() {
        let items: Vec<usize> = (0..100).collect();
        let ended = AtomicUsize::new(0);
        // The first is done only when the other worker, which has done the second, is at the third.
        let third = Barrier::new(2);
        let twice = each(
            2,
            &items,
            |_| false,
            || Ok(0),
            |done, &item| {
                if item == 0 || item == 2 {
                    third.wait();
                }
                *done += 1;
                Ok(2 * item)
            },
            |done| {
                ended.fetch_add(done, Ordering::Relaxed);
            },
        );
        assert_eq!(twice, Ok::<_, HostError>(items.iter().map(|item| 2 * item).collect()));
        assert_eq!(ended.into_inner(), items.len());
    }

    #[test]
    fn those_that_wait_come_first() {
        let begun = Mutex::new(Vec::new());
        let begin = |(): &mut (), &item: &u32| {
            begun.lock().unwrap().push(item);
            Ok::<_, HostError>(item)
        };
        let items = [1, 12, 3, 14, 5];
        assert_eq!(each(1, &items, |&item| item > 10, || Ok(()), begin, drop), Ok(items.to_vec()));
        assert_eq!(begun.into_inner().unwrap(), [12, 14, 1, 3, 5]);
    }

    #[test]
    fn an_error_ends_it_all() {
        let failed = |(): &mut (), &item: &u32| {
            if item == 7 { Err(HostError::Interrupted) } else { Ok(()) }
        };
        let items: Vec<u32> = (0..10).collect();
        assert_eq!(
            each(2, &items, |_| false, || Ok(()), failed, drop),
            Err(HostError::Interrupted)
        );
    }
}
