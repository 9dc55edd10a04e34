use std::collections::BTreeSet;

use super::*;

#[tokio::test]
async fn a_server_greets_at_its_address_and_knows_its_arguments() {
    let server = NatsServer::start_with(&["--user", "u", "--pass", "p"]).await;
    let info = server.info().await;
    assert_eq!(info["port"], u64::from(server.port.number()));
    assert_eq!(info["auth_required"], true);
    assert_eq!(server.url(), format!("nats://{}", server.address()));
}

#[tokio::test]
async fn a_configuration_is_read() {
    let server = NatsServer::start_configured("max_payload: 2048").await;
    assert_eq!(server.info().await["max_payload"], 2048);
}

#[tokio::test]
async fn a_killed_server_comes_back_at_its_port_as_another() {
    let mut server = NatsServer::start().await;
    let (address, first) = (server.address(), server.info().await);
    server.kill().await;
    assert!(TcpStream::connect(&address).await.is_err());
    server.restart().await;
    assert_eq!(server.address(), address);
    assert_ne!(server.info().await["server_id"], first["server_id"]);
    server.stop().await;
    server.stop().await;
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn nobody_gets_the_port_of_a_server_that_does_not_run() {
    let server = NatsServer::stopped(&[]);
    assert!(TcpStream::connect(server.address()).await.is_err());
    let others: Vec<_> = (0..50)
        .map(|_| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap())
        .collect();
    assert!(others.iter().all(|other| other.to_string() != server.address()));
}

#[tokio::test]
async fn a_paused_server_answers_when_it_goes_on() {
    let server = NatsServer::start().await;
    let client = TcpStream::connect(server.address()).await.unwrap();
    let mut client = BufReader::new(client);
    client.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").await.unwrap();
    pong(&mut client).await;
    server.pause();
    client.write_all(b"PING\r\n").await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(200), pong(&mut client)).await;
    assert!(silence.is_err(), "a paused server answered");
    server.resume();
    tokio::time::timeout(LIMIT, pong(&mut client)).await.unwrap();
}

/// Reads up to the next PONG; the server may send its own PING and INFO at any time.
async fn pong(client: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    while line != "PONG\r\n" {
        line.clear();
        assert_ne!(client.read_line(&mut line).await.unwrap(), 0, "the server hung up");
    }
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = NatsServer::start().await;
    let (address, folder) = (server.address(), server.dir.path().to_owned());
    drop(server);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_panic_takes_the_server_with_it() {
    let server = NatsServer::start().await;
    let address = server.address();
    let test = tokio::spawn(async move {
        let _server = server;
        panic!("as a failing test does");
    });
    assert!(test.await.unwrap_err().is_panic());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
#[should_panic(expected = "ended at once")]
async fn a_server_that_cannot_start_says_why() {
    NatsServer::start_with(&["--no-such-flag"]).await;
}

#[tokio::test]
async fn a_cluster_tells_clients_of_all_its_servers_and_takes_one_back() {
    let mut cluster = NatsCluster::start(3).await;
    let addresses: BTreeSet<String> = cluster.addresses().into_iter().collect();
    assert_eq!(addresses.len(), 3);
    cluster.server(0).kill().await;
    cluster.joined().await;
    cluster.server(0).restart().await;
    cluster.joined().await;
    let info = cluster.server(0).info().await;
    let told = info["connect_urls"].as_array().unwrap().iter();
    let told: BTreeSet<String> = told.map(|url| url.as_str().unwrap().to_owned()).collect();
    assert!(told.is_superset(&addresses), "{told:?}");
}

#[tokio::test]
async fn a_lame_duck_sends_its_clients_away_and_ends_by_itself() {
    let mut server = NatsServer::start_configured("lame_duck_grace_period: 100ms").await;
    let mut client = BufReader::new(TcpStream::connect(server.address()).await.unwrap());
    client.write_all(b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n").await.unwrap();
    pong(&mut client).await;
    server.lame_duck();
    let mut said = String::new();
    tokio::time::timeout(LIMIT, client.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.contains("\"ldm\":true"), "{said}");
    server.gone().await;
    assert!(TcpStream::connect(server.address()).await.is_err());
    server.restart().await;
    assert_eq!(server.connections().await, 0);
}

#[tokio::test]
async fn a_server_comes_back_with_another_configuration() {
    let mut server = NatsServer::start_configured("server_name: first").await;
    assert_eq!(server.info().await["server_name"], "first");
    server.configure("server_name: second");
    server.kill().await;
    server.restart().await;
    assert_eq!(server.info().await["server_name"], "second");
}
