use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

fn fence(number: u64) -> Fence {
    Fence::claimed(number)
}

/// Polls once.
fn now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn enter(gate: &Gate, resource: &str, number: u64) -> Option<Result<Pass, Stale>> {
    now(pin!(gate.enter(resource, fence(number))))
}

#[test]
fn lower_fences_are_refused_and_equal_ones_are_not() {
    let gate = Gate::new(10);
    assert_eq!(gate.least("a"), None);
    assert_eq!(gate.admit("a", fence(5)), Ok(()));
    assert_eq!(gate.admit("a", fence(5)), Ok(()));
    assert_eq!(gate.admit("a", fence(9)), Ok(()));
    let stale = Stale {
        fence: fence(8),
        least: fence(9),
    };
    assert_eq!(gate.admit("a", fence(8)), Err(stale));
    assert_eq!(gate.admit("b", fence(1)), Ok(()), "another resource");
    assert_eq!(gate.least("a"), Some(fence(9)));
}

#[test]
fn a_higher_fence_goes_in_when_the_lower_ones_are_out() {
    let gate = Gate::new(10);
    let first = enter(&gate, "a", 5).unwrap().unwrap();
    let beside = enter(&gate, "a", 5).unwrap().unwrap();
    let mut told = pin!(first.superseded());
    assert_eq!(now(told.as_mut()), None);

    let mut next = pin!(gate.enter("a", fence(6)));
    assert!(now(next.as_mut()).is_none(), "two are inside");
    assert_eq!(now(told.as_mut()).unwrap().least, fence(6));
    assert!(enter(&gate, "a", 5).unwrap().is_err(), "a higher one waits");
    drop(beside);
    assert!(now(next.as_mut()).is_none(), "one is inside");
    assert!(
        enter(&gate, "b", 1).unwrap().is_ok(),
        "nobody is inside of b"
    );

    let mut last = pin!(gate.enter("a", fence(7)));
    assert!(now(last.as_mut()).is_none());
    let overtaken = now(next.as_mut()).unwrap().unwrap_err();
    assert_eq!(overtaken.least, fence(7));
    assert!(now(last.as_mut()).is_none());
}

#[tokio::test]
async fn whoever_waits_is_woken_and_whoever_gives_up_leaves_nothing() {
    let gate = Arc::new(Gate::new(10));
    let inside = gate.enter("a", fence(5)).await.unwrap();
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.enter("a", fence(6)).await.map(|pass| pass.fence()) }
    });
    inside.superseded().await;
    drop(inside);
    assert_eq!(waiting.await.unwrap(), Ok(fence(6)));

    let inside = gate.enter("a", fence(6)).await.unwrap();
    assert!(enter(&gate, "a", 7).is_none(), "it gave up at once");
    assert!(enter(&gate, "a", 6).unwrap().is_err(), "7 exists");
    drop(inside);
    assert!(enter(&gate, "a", 7).unwrap().is_ok());
}

#[test]
fn a_gate_that_starts_at_a_fence_refuses_what_was_granted_before() {
    let gate = Gate::starting_at(10, fence(100));
    assert_eq!(gate.admit("a", fence(99)).unwrap_err().least, fence(100));
    assert_eq!(gate.admit("a", fence(101)), Ok(()));
    assert_eq!(gate.least("b"), Some(fence(100)));
}

#[test]
fn where_somebody_is_inside_is_not_forgotten() {
    let gate = Gate::new(1);
    let inside = enter(&gate, "a", 5).unwrap().unwrap();
    gate.admit("b", fence(6)).unwrap();
    gate.admit("c", fence(7)).unwrap();
    assert!(enter(&gate, "a", 8).is_none(), "5 is still inside");
    drop(inside);
    gate.admit("d", fence(9)).unwrap();
    assert_eq!(gate.table().doors.len(), 1);
    assert_eq!(gate.least("a"), Some(fence(8)));
}

/// A small generator of its own, so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Whatever a gate that forgets nothing refuses, one that forgets refuses too; and what it
/// refuses beyond that is below the floor.
#[test]
fn forgetting_never_admits_what_is_stale() {
    for seed in 1..=200 {
        let mut random = Random(seed);
        let (small, whole) = (Gate::new(8), Gate::new(usize::MAX));
        let (mut granted, mut refused_more) = (0, 0);
        for _ in 0..500 {
            granted += 1;
            let resource = format!("r{}", random.below(24));
            let number = granted - random.below(granted.min(30));
            let (of_small, of_whole) = (
                small.admit(&resource, fence(number)),
                whole.admit(&resource, fence(number)),
            );
            assert!(of_whole.is_ok() || of_small.is_err(), "seed {seed}");
            refused_more += u64::from(of_whole.is_ok() && of_small.is_err());
            let table = small.table();
            assert!(table.doors.len() <= 8, "seed {seed}");
            assert_eq!(table.doors.len(), table.by_fence.len(), "seed {seed}");
        }
        assert!(refused_more > 0, "seed {seed}: nothing was forgotten");
    }
}

#[test]
fn threads_write_in_the_order_of_their_fences() {
    let gate = Gate::new(4);
    let written = Mutex::new(Vec::new());
    let threads = |number: u64| {
        let (gate, written) = (&gate, &written);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            for step in 0..200 {
                let fence = fence(1 + step * 4 + number);
                if let Ok(pass) = runtime.block_on(gate.enter("a", fence)) {
                    std::thread::yield_now();
                    written.lock().unwrap().push(fence);
                    drop(pass);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|number| scope.spawn(threads(number))).collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let written = written.into_inner().unwrap();
    assert!(written.is_sorted(), "{written:?}");
    assert_eq!(written.last(), Some(&fence(800)), "nothing is above it");
}
