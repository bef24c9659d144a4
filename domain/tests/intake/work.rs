//! What a piece of work takes of memory, and how much work it is: counted at the allocator, of the
//! thread that does it. Unlike seconds this is the same on every machine and under every load.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    TAKEN.set(TAKEN.get() + bytes.max(0).unsigned_abs());
}

/// Bytes as the counters have them.
fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).expect("no layout is larger")
}

// SAFETY: every call goes to the system's allocator as it came; the counters hold no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there while one is copied to the other.
        count(signed(size));
        count(-signed(layout.size()));
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What some work took.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The most bytes at one time.
    pub peak: usize,
    /// All bytes that were ever taken: what was copied, parsed and kept.
    pub taken: usize,
}

/// Does some work, and says what it took.
pub fn of<T>(work: impl FnOnce() -> T) -> (T, Work) {
    let (live, taken) = (LIVE.get(), TAKEN.get());
    PEAK.set(live);
    let done = work();
    (done, Work { peak: (PEAK.get() - live).max(0).unsigned_abs(), taken: TAKEN.get() - taken })
}
