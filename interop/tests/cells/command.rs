//! The `micro` command with go-micro of two generations and with the echo example, all on one NATS.

mod calls;
mod events;
mod looks;
mod streams;

use micro_interop::{Echo, Generation, GoService, Shell, World};

pub(crate) mod go_calls_rust {
    pub(crate) use super::events::go_calls_rust::*;
}

pub(crate) mod rust_calls_go {
    pub(crate) use super::calls::*;
    pub(crate) use super::events::rust_calls_go::*;
    pub(crate) use super::looks::*;
    pub(crate) use super::streams::*;
}

cell! { command {
    go_calls_rust: [
        each_subscription_hears_what_go_of_two_generations_publishes,
        a_queue_of_the_command_and_go_gets_each_event_once,
    ]
    rust_calls_go: [
        each_is_listed_with_its_node,
        each_is_described_with_its_nodes_endpoints_and_types,
        a_watch_sees_each_come_and_go,
        each_is_asked_for_its_health,
        each_is_called_in_json_with_metadata_and_by_address,
        each_is_called_in_protobuf_by_the_proto_file,
        an_error_of_each_arrives_with_code_and_detail_and_ends_in_1,
        what_is_mistyped_is_answered_with_what_each_has,
        streams_of_all_shapes_go_to_each_and_end,
        an_error_comes_after_the_messages_before_it,
        a_reply_is_there_before_the_input_ends,
        ctrl_c_ends_a_stream_and_fails_its_handler,
        each_hears_what_is_published,
    ]
} }

/// A service of this generation of go-micro, one of another and the echo example, and the command.
struct Fleet {
    world: World,
    shell: Shell,
    go: GoService,
    other: GoService,
    echo: Echo,
}

/// Whom the command speaks with.
struct Member {
    name: String,
    node: String,
    address: String,
    is_go: bool,
}

impl Fleet {
    async fn start(generation: Generation) -> Self {
        let world = World::start().await;
        let [one, two] = [generation, generation.other()].map(|of| (of, format!("go-{of}")));
        let (go, other, echo) =
            tokio::join!(world.go(one.0, &one.1), world.go(two.0, &two.1), world.echo("echo"));
        Self { shell: world.shell(), world, go, other, echo }
    }

    fn members(&self) -> [Member; 3] {
        let of_go = |go: &GoService| Member {
            name: go.name.clone(),
            node: go.node.clone(),
            address: go.address.clone(),
            is_go: true,
        };
        let echo = Member {
            name: "echo".to_owned(),
            node: self.echo.node.clone(),
            address: self.echo.address.clone(),
            is_go: false,
        };
        [of_go(&self.go), of_go(&self.other), echo]
    }
}
