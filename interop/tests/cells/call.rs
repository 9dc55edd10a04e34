//! Calls: bodies of each kind and size, many at once, metadata, nested calls, and how a node fares.

mod bodies;
mod health;
pub(crate) mod metadata;
mod nested;
mod volume;

pub(crate) mod go_calls_rust {
    pub(crate) use super::bodies::go_calls_rust::*;
    pub(crate) use super::health::go_calls_rust::*;
    pub(crate) use super::metadata::go_calls_rust::*;
    pub(crate) use super::nested::go_calls_rust::*;
    pub(crate) use super::volume::go_calls_rust::*;
}

pub(crate) mod rust_calls_go {
    pub(crate) use super::bodies::rust_calls_go::*;
    pub(crate) use super::health::rust_calls_go::*;
    pub(crate) use super::metadata::rust_calls_go::*;
    pub(crate) use super::nested::rust_calls_go::*;
    pub(crate) use super::volume::rust_calls_go::*;
}

cell! { call {
    go_calls_rust: [
        json_and_protobuf_are_told_apart_by_content_type,
        raw_bytes_come_back_as_they_are,
        bodies_of_no_byte_a_kilobyte_and_half_a_megabyte_arrive,
        sixty_four_at_once_over_one_socket_are_each_answered_once,
        sixty_four_at_once_over_many_sockets_are_each_answered,
        odd_metadata_arrives,
        a_nested_call_keeps_metadata_and_loses_the_rest,
        nested_calls_at_once_do_not_mix,
        debug_health_is_ok_in_json_and_in_protobuf,
    ]
    rust_calls_go: [
        json_and_protobuf_are_told_apart_by_content_type,
        raw_bytes_come_back_as_they_are,
        bodies_of_no_byte_a_kilobyte_and_half_a_megabyte_arrive,
        sixty_four_at_once_over_one_socket_run_side_by_side,
        sixty_four_at_once_over_many_sockets_are_each_answered,
        odd_metadata_arrives,
        a_nested_call_keeps_metadata_and_loses_the_rest,
        nested_calls_at_once_do_not_mix,
        a_handler_of_an_event_that_calls_go_is_answered_by_the_handler,
        debug_health_is_ok_where_go_serves_it_and_not_found_elsewhere,
    ]
} }
