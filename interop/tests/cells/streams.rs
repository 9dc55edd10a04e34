//! Streams in all three shapes, and their ends.

mod facts;
pub(crate) mod go_calls_rust;
mod of_rust;

pub(crate) mod rust_calls_go {
    pub(crate) use super::facts::*;
    pub(crate) use super::of_rust::*;
}

cell! { streams {
    go_calls_rust: [
        a_server_stream_arrives_in_json_and_in_protobuf_and_ends,
        messages_go_both_ways_until_the_caller_closes,
        there_is_no_half_close_so_a_client_stream_ends_without_its_reply,
        an_error_comes_after_the_messages_before_it,
        ten_thousand_messages_arrive_in_order,
        a_caller_that_closes_or_is_killed_stops_the_handler_at_its_next_message,
        a_service_that_is_killed_is_an_error_at_the_next_message,
        a_unary_call_of_a_stream_is_refused,
        calls_go_on_beside_streams_that_end,
    ]
    rust_calls_go: [
        a_server_stream_arrives_in_json_and_in_protobuf_and_ends,
        a_client_stream_is_answered_after_the_half_close,
        messages_go_both_ways_and_the_end_is_known_after_the_half_close,
        an_error_comes_after_the_messages_before_it,
        ten_thousand_messages_arrive_in_order,
        a_caller_that_gives_up_fails_the_handler_and_runs_no_other,
        a_service_that_is_killed_is_known_at_the_next_message_and_when_it_is_asked,
        a_call_that_a_streams_handler_makes_is_a_call,
        calls_go_on_beside_streams_that_end,
        a_unary_call_of_a_stream_is_not_answered,
        each_stream_has_a_socket_of_its_own_and_calls_share_one,
        go_says_the_end_of_a_stream_unless_it_has_read_ours,
        a_message_for_a_stream_that_has_ended_runs_its_handler_again,
        an_end_that_comes_late_costs_the_next_calls_of_its_socket,
    ]
} }
