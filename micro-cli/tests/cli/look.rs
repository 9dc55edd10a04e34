//! `micro services` and `micro describe`.

use micro::{Context, Server};
use serde_json::Value;

use crate::snapshot::is_as_in;
use crate::world::{World, service, start};

/// `echo` with two nodes, and two versions of `greeter`.
async fn fleet() -> (World, Vec<micro::Running>) {
    let (world, echo) = World::with_echo().await;
    let greet = || {
        Server::new()
            .handler("Greeter.Hello", async |_: Context, name: String| Ok(format!("Hello {name}")))
    };
    let greeter = |id| service(&world.nats.address(), "greeter", id).server(greet());
    let second = service(&world.nats.address(), "echo", "2")
        .metadata("zone", "b")
        .server(micro_examples::echo::server(Default::default()));
    let running = vec![
        echo,
        start(second).await,
        start(greeter("1").version("1.0.0").metadata("team", "green")).await,
        start(greeter("2").version("2.0.0")).await,
    ];
    (world, running)
}

#[tokio::test]
async fn services_are_names_a_line_each_in_a_pipe() {
    let (world, _running) = fleet().await;
    assert_eq!(world.prints(&["services"]).await, "echo\ngreeter\n");
    assert_eq!(world.prints(&["list"]).await, "echo\ngreeter\n");
}

#[tokio::test]
async fn services_as_json_have_everything_that_the_registry_knows() {
    let (world, _running) = fleet().await;
    let printed = world.prints(&["services", "--json"]).await;
    assert_eq!(printed.lines().count(), 1, "{printed}");
    let services: Value = serde_json::from_str(&printed).unwrap();
    let told: Vec<_> = (services.as_array().unwrap().iter())
        .map(|service| {
            (&service["name"], &service["version"], service["nodes"].as_array().unwrap().len())
        })
        .collect();
    let expected = [("echo", "latest", 2), ("greeter", "1.0.0", 1), ("greeter", "2.0.0", 1)];
    assert_eq!(told.len(), expected.len(), "{printed}");
    for (told, expected) in told.into_iter().zip(expected) {
        assert_eq!(
            (told.0.as_str(), told.1.as_str(), told.2),
            (Some(expected.0), Some(expected.1), expected.2)
        );
    }
}

#[tokio::test]
async fn where_there_are_no_services_that_is_said_and_is_no_error() {
    let world = World::new().await;
    let done = world.micro(&["services"]).run().await;
    assert_eq!(
        (done.code(), done.stdout.as_str(), done.stderr.as_str()),
        (Some(0), "", "no services\n")
    );
    assert_eq!(world.prints(&["services", "--json"]).await, "[]\n");
}

#[tokio::test]
async fn a_service_is_described_as_a_tree() {
    let (world, _running) = fleet().await;
    is_as_in("describe/echo.txt", &world.prints(&["describe", "echo"]).await);
    is_as_in("describe/greeter.txt", &world.prints(&["describe", "greeter"]).await);
}

#[tokio::test]
async fn a_service_is_described_as_json() {
    let (world, _running) = fleet().await;
    let printed = world.prints(&["describe", "greeter", "--json"]).await;
    is_as_in("describe/greeter.json.txt", &printed);
    let versions: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(versions[1]["nodes"][0]["id"], "greeter-2");
    assert_eq!(versions[0]["nodes"][0]["metadata"]["team"], "green");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_answered_with_the_nearest_names() {
    let (world, _running) = fleet().await;
    for (name, hint) in [
        ("gretter", "hint: did you mean greeter?"),
        ("Echo", "hint: did you mean echo?"),
        ("billing", "hint: services there are: echo, greeter"),
    ] {
        for verb in ["describe", "health"] {
            let done = world.micro(&[verb, name]).run().await;
            let (error, hints) = done.failed();
            assert_eq!(hints, [hint], "{verb} {name}");
            assert_eq!((&error["code"], &error["id"]), (&404.into(), &"micro".into()), "{error}");
        }
    }
}
