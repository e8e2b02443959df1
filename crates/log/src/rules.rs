//! The rules of opening and of failure, each by a name, so that tests can break one at a time.
//!
//! Whoever changes the log finds here what must hold; `tests/lives/mutants.rs` breaks each rule and shows that a
//! crash finds it out. In a build without the feature `sim` every rule holds, and the compiler knows.

/// A rule that a test can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Opening syncs the folder before it looks for a log.
    FolderSynced,
    /// Opening writes zeros over the tail.
    TailZeroed,
    /// It does so also when the tail reads as zeros already.
    TailZeroedWhateverItReads,
    /// Opening writes what is not attested again.
    Rewritten,
    /// It does so from the bytes that passed the check, not from a second read.
    RewrittenFromTheCheckedBytes,
    /// Opening syncs before what it kept counts as attested.
    SyncedBeforeAttested,
    /// A frame attests only what a successful sync covered.
    AttestsOnlyTheSynced,
    /// A failed write or sync latches the log.
    Latched,
    /// What was written of a frame that found no room is overwritten with zeros.
    FullTakenBack,
    /// The zeros are synced before the caller hears of it.
    TakenBackSynced,
    /// When taking back fails, the log latches, and the outcome is unknown.
    FailedTakingBackLatches,
    /// Closing a latched log writes nothing.
    LatchedCloseSilent,
    /// A new log is synced before it gets its name.
    SyncedBeforeNamed,
    /// A commit is synced before it is acknowledged.
    SyncedBeforeAcknowledged,
    /// What was appended while a sync ran is not attested by it.
    AttestsWhatTheSyncBeganWith,
    /// No room for zeros ahead is no failure.
    ZerosAheadMayFail,
    /// A new generation is synced before it gets its name.
    GenerationSynced,
    /// A new generation whose sync failed is given up, not synced again.
    FailedGenerationGivenUp,
    /// The folder is synced after a new generation got its name, before anything is written to it.
    GenerationNameSynced,
    /// Older generations go only after that sync.
    OldGoLast,
    /// A new generation's frames attest their own start.
    GenerationAttested,
    /// A latched log's compaction stops, and names nothing.
    LatchStopsCompaction,
    /// A bad frame before one that says it was good is damage, not a tail.
    DamageIsNoTail,
}

impl Rule {
    /// All of them.
    #[cfg(any(test, feature = "sim"))]
    pub const ALL: [Rule; 23] = [
        Rule::FolderSynced,
        Rule::TailZeroed,
        Rule::TailZeroedWhateverItReads,
        Rule::Rewritten,
        Rule::RewrittenFromTheCheckedBytes,
        Rule::SyncedBeforeAttested,
        Rule::AttestsOnlyTheSynced,
        Rule::Latched,
        Rule::FullTakenBack,
        Rule::TakenBackSynced,
        Rule::FailedTakingBackLatches,
        Rule::LatchedCloseSilent,
        Rule::SyncedBeforeNamed,
        Rule::SyncedBeforeAcknowledged,
        Rule::AttestsWhatTheSyncBeganWith,
        Rule::ZerosAheadMayFail,
        Rule::GenerationSynced,
        Rule::FailedGenerationGivenUp,
        Rule::GenerationNameSynced,
        Rule::OldGoLast,
        Rule::GenerationAttested,
        Rule::LatchStopsCompaction,
        Rule::DamageIsNoTail,
    ];
}

/// Which rules a log keeps: all of them, unless a test says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(any(test, feature = "sim"))]
    broken: Option<Rule>,
    #[cfg(any(test, feature = "sim"))]
    ahead_bytes: Option<u64>,
}

impl Rules {
    /// All rules but one.
    #[cfg(any(test, feature = "sim"))]
    pub fn without(rule: Rule) -> Rules {
        Rules { broken: Some(rule), ..Rules::default() }
    }

    /// So many zeros ahead instead of thousands: small files tear in more interesting places.
    #[cfg(any(test, feature = "sim"))]
    pub fn with_ahead(self, bytes: u64) -> Rules {
        Rules { ahead_bytes: Some(bytes), ..self }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn ahead_bytes(self, usual: u64) -> u64 {
        self.ahead_bytes.unwrap_or(usual)
    }

    #[cfg(not(any(test, feature = "sim")))]
    pub(crate) fn ahead_bytes(self, usual: u64) -> u64 {
        usual
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn holds(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    #[cfg(not(any(test, feature = "sim")))]
    pub(crate) fn holds(self, _: Rule) -> bool {
        true
    }
}
