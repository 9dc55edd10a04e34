//! What fails, and how the caller is told.

mod answers;
mod bodies;

pub(crate) mod go_calls_rust {
    pub(crate) use super::answers::go_calls_rust::*;
    pub(crate) use super::bodies::go_calls_rust::*;
}

pub(crate) mod rust_calls_go {
    pub(crate) use super::answers::rust_calls_go::*;
    pub(crate) use super::bodies::rust_calls_go::*;
}

cell! { errors {
    go_calls_rust: [
        a_typed_error_arrives_as_it_was,
        a_plain_error_arrives_as_its_text,
        an_unknown_endpoint_is_not_found,
        an_unknown_service_is_told_by_go_itself,
        a_panicking_handler_answers_500_at_once_and_the_service_lives_on,
        a_service_that_is_too_busy_says_429,
        a_body_that_does_not_decode_is_400,
        a_content_type_without_codec_is_415_with_the_id,
        a_request_without_content_type_is_read_as_protobuf,
        a_reply_over_the_limit_is_413_with_both_sizes,
    ]
    rust_calls_go: [
        a_typed_error_arrives_as_it_was,
        a_plain_error_arrives_as_its_text,
        an_unknown_endpoint_is_not_found,
        an_unknown_service_is_not_found_and_not_sent,
        a_panicking_handler_never_answers_and_the_attempt_limit_holds,
        a_body_that_does_not_decode_is_told,
        a_content_type_without_codec_fails_and_harms_no_other_call,
        a_request_over_the_limit_is_not_sent,
    ]
} }
