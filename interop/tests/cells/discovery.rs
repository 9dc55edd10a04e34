//! Each finds the other, once, with all that it says of itself.

mod go_finds_rust;
mod rust_finds_go;

pub(crate) mod go_calls_rust {
    pub(crate) use super::go_finds_rust::*;
}

pub(crate) mod rust_calls_go {
    pub(crate) use super::rust_finds_go::*;
}

cell! { discovery {
    go_calls_rust: [
        one_query_tells_metadata_version_and_endpoints_whole,
        the_types_of_a_rust_service_are_shown_where_it_gives_them,
        a_node_answers_one_query_once,
        a_list_names_each_service_and_version,
        a_watch_tells_of_coming_and_going,
        one_rust_service_is_found_by_both_generations,
        a_go_client_chooses_among_all_rust_nodes,
        a_node_without_its_protocol_is_spoken_to_in_another_one,
    ]
    rust_calls_go: [
        one_query_tells_metadata_version_and_endpoints_whole,
        the_types_of_a_go_service_are_shown,
        a_list_names_each_service_and_version,
        a_watch_tells_of_coming_and_going,
        one_rust_process_sees_both_generations_which_do_not_see_each_other,
        a_node_of_ours_seen_on_both_subjects_counts_once,
    ]
} }
