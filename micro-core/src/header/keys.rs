//! Keys that go-micro's wire gives a meaning, spelled as it spells them.

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// The constant for a key, so that a decoded header allocates nothing for it.
        pub(super) fn constant(key: &str) -> Option<&'static str> {
            match key { $($text => Some($text),)* _ => None }
        }
    };
}

keys! {
    /// The content type that the caller wants back.
    ACCEPT = "Accept";
    /// `close`: the sender forgets the socket after this.
    CONNECTION = "Connection";
    /// The content type of the body.
    CONTENT_TYPE = "Content-Type";
    /// `Service.Method`, as newer go-micro names it.
    MICRO_ENDPOINT = "Micro-Endpoint";
    /// An error's JSON or text; `EOS` ends a stream.
    MICRO_ERROR = "Micro-Error";
    /// The request's id, as go-micro v5 and v6 spell it.
    MICRO_ID = "Micro-ID";
    /// The request's id, as go-micro v2 and v3 spell it.
    MICRO_ID_OLD = "Micro-Id";
    /// `Service.Method`.
    MICRO_METHOD = "Micro-Method";
    /// The service's name.
    MICRO_SERVICE = "Micro-Service";
    /// The stream's id.
    MICRO_STREAM = "Micro-Stream";
    /// The topic of an event.
    MICRO_TOPIC = "Micro-Topic";
    /// How much of a stream its caller takes; ours alone, in a probe. See
    /// [`Window`](crate::wire::Window).
    MICRO_WINDOW = "Micro-Window";
    /// The time that is left, in nanoseconds, decimal.
    TIMEOUT = "Timeout";
    /// [`MICRO_ENDPOINT`] in an answer.
    X_MICRO_ENDPOINT = "X-Micro-Endpoint";
    /// [`MICRO_ERROR`] in an answer.
    X_MICRO_ERROR = "X-Micro-Error";
    /// [`MICRO_ID`] in an answer.
    X_MICRO_ID = "X-Micro-ID";
    /// [`MICRO_ID_OLD`] in an answer.
    X_MICRO_ID_OLD = "X-Micro-Id";
    /// [`MICRO_METHOD`] in an answer.
    X_MICRO_METHOD = "X-Micro-Method";
    /// [`MICRO_STREAM`] where the plain one is missing.
    X_MICRO_STREAM = "X-Micro-Stream";
    /// [`MICRO_SERVICE`] in an answer.
    X_MICRO_SERVICE = "X-Micro-Service";
}
