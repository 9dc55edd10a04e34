//! Who is let in, and what becomes known of those who are not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use micro_core::{ErrorKind, Result};
use micro_nats::{Credentials, Nats, NatsOptions, State};
use micro_testkit::server::NatsServer;

const LIMIT: Duration = Duration::from_secs(20);
/// What somebody who is refused waits.
const SHORT: Duration = Duration::from_millis(600);

async fn connected(list: &str, credentials: Option<Credentials>, wait: Duration) -> Result<Nats> {
    let mut options = NatsOptions::default().with_addresses(list.parse()?).with_connect_wait(wait);
    options.credentials = credentials;
    let nats = Nats::with_options(options)?;
    nats.connected().await.map(|()| nats)
}

async fn refused(list: &str, credentials: Option<Credentials>) {
    let mut options =
        NatsOptions::default().with_addresses(list.parse().unwrap()).with_connect_wait(SHORT);
    options.credentials = credentials;
    let nats = Nats::with_options(options).unwrap();
    let error = nats.connected().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(nats.state(), State::Connecting);
    let told = format!("{error} {error:?} {:?} {nats:?} {:?}", nats.health(), nats.options());
    assert!(told.contains("authorization violation"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn user_and_password_are_taken_from_the_address_or_the_options() {
    let server = NatsServer::start_with(&["--user", "u", "--pass", "s3cret@,"]).await;
    let address = server.address();
    connected(&format!("nats://u:s3cret%40%2C@{address}"), None, LIMIT).await.unwrap();
    let right = Credentials::user_password("u", "s3cret@,");
    connected(&address, Some(right.clone()), LIMIT).await.unwrap();
    // Those of the options count.
    connected(&format!("u:wrong-s3cret@{address}"), Some(right), LIMIT).await.unwrap();
    refused(&address, None).await;
    refused(&format!("u:wrong-s3cret@{address}"), None).await;
    refused(&address, Some(Credentials::token("wrong-s3cret"))).await;
}

#[tokio::test]
async fn a_token_is_taken_from_the_address_or_the_options() {
    let server = NatsServer::start_with(&["--auth", "s3cret"]).await;
    let address = server.address();
    connected(&format!("nats://s3cret@{address}"), None, LIMIT).await.unwrap();
    connected(&address, Some(Credentials::token("s3cret")), LIMIT).await.unwrap();
    refused(&address, None).await;
    refused(&format!("wrong-s3cret@{address}"), None).await;
}

#[tokio::test]
async fn whoever_was_refused_comes_in_when_the_server_changes_its_mind() {
    let mut server = NatsServer::stopped(&[]);
    let list = format!("u:s3cret@{}", server.address());
    let options = NatsOptions::default().with_addresses(list.parse().unwrap());
    let nats = Nats::with_options(options.with_connect_wait(LIMIT)).unwrap();
    nats.client().unwrap();
    server.set_args(&["--user", "u", "--pass", "another-s3cret"]);
    server.restart().await;
    tokio::time::timeout(LIMIT, async {
        while !nats.health().unwrap_err().to_string().contains("authorization violation") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the refusal shows");
    server.set_args(&["--user", "u", "--pass", "s3cret"]);
    server.restart().await;
    nats.connected().await.unwrap();
}

#[cfg(feature = "nkeys")]
mod nkeys {
    use ::nkeys::KeyPair;
    use base64_simd::URL_SAFE_NO_PAD;

    use super::*;

    #[tokio::test]
    async fn an_nkey_signs_the_servers_challenge() {
        let user = KeyPair::new_user();
        let config = format!("authorization {{ users: [{{ nkey: {} }}] }}", user.public_key());
        let server = NatsServer::start_configured(&config).await;
        let key = |pair: &KeyPair| Some(Credentials::nkey_seed(pair.seed().unwrap()));
        connected(&server.address(), key(&user), LIMIT).await.unwrap();
        refused(&server.address(), key(&KeyPair::new_user())).await;
    }

    #[tokio::test]
    async fn a_credentials_file_lets_its_user_in() {
        let [operator, account, user] =
            [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user()];
        let config = format!(
            "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {} }}",
            jwt(&operator, &operator, r#"{"type":"operator","version":2}"#),
            account.public_key(),
            jwt(
                &operator,
                &account,
                r#"{"type":"account","version":2,"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}}"#
            ),
        );
        let server = NatsServer::start_configured(&config).await;
        let jwt =
            jwt(&account, &user, r#"{"type":"user","version":2,"subs":-1,"data":-1,"payload":-1}"#);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("user.creds");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        );
        std::fs::write(&file, text).unwrap();
        connected(&server.address(), Some(Credentials::file(&file)), LIMIT).await.unwrap();
        refused(&server.address(), None).await;

        let missing = folder.path().join("missing.creds");
        let error = connected(&server.address(), Some(Credentials::file(&missing)), LIMIT).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("missing.creds"), "{error}");
        std::fs::write(&missing, "s3cret").unwrap();
        let error = connected(&server.address(), Some(Credentials::file(&missing)), LIMIT).await;
        let error = error.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }

    /// What an issuer says of a subject, signed, as NATS reads it.
    fn jwt(issuer: &KeyPair, subject: &KeyPair, says: &str) -> String {
        let (iss, sub) = (issuer.public_key(), subject.public_key());
        let claims = format!(
            r#"{{"jti":"x","iat":1,"iss":"{iss}","name":"n","sub":"{sub}","nats":{says}}}"#
        );
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode_to_string(bytes);
        let header = encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let signed = format!("{header}.{}", encode(claims.as_bytes()));
        let signature = encode(&issuer.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{signature}")
    }
}
