//! `Debug.Health`, which every server answers, as go-micro's services do.

use micro_core::Bytes;
use micro_core::codec::{Codec, JSON, PROTOBUF, check_content_type, known_content_type};

use super::handler::Answer;
use crate::middleware::Reply;

/// The endpoint's name.
pub(super) const HEALTH: &str = "Debug.Health";

/// go-micro's `HealthResponse`, whose first field is `status`, saying `ok`.
const IN_PROTOBUF: &[u8] = b"\n\x02ok";
const IN_JSON: &[u8] = br#"{"status":"ok"}"#;

/// What is answered to a request of this content type, whatever is in it.
pub(super) fn health(content_type: Option<&str>) -> Answer {
    check_content_type::<Either>(content_type)?;
    let given = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let content_type = match given.trim().to_ascii_lowercase().as_str() {
        "" => PROTOBUF.into(),
        given => known_content_type(given),
    };
    let body = if content_type == JSON { IN_JSON } else { IN_PROTOBUF };
    Ok(Reply::new(content_type, Bytes::from_static(body)))
}

/// What core's codec for both reads, which is there only with the feature `protobuf`.
#[derive(Clone, Copy)]
struct Either;

impl Codec for Either {
    const CONTENT_TYPE: &'static str = PROTOBUF;
    const READS: &'static str = "application/json and application/protobuf";

    fn accepts(content_type: &str) -> bool {
        matches!(
            content_type,
            "" | JSON | PROTOBUF | "application/x-protobuf" | "application/proto"
        )
    }
}

#[cfg(all(test, feature = "protobuf"))]
mod tests {
    use micro_core::codec::{Decode, JsonOrProtobuf, OCTET_STREAM, Protobuf};

    use super::*;

    #[test]
    fn it_takes_and_gives_the_content_types_of_a_handler_for_both() {
        for given in [
            None,
            Some(""),
            Some(JSON),
            Some("Application/JSON; charset=utf-8"),
            Some(PROTOBUF),
            Some("application/proto"),
            Some("application/X-Protobuf; a=b"),
            Some(OCTET_STREAM),
            Some("text/plain"),
        ] {
            let handler = check_content_type::<JsonOrProtobuf>(given)
                .map(|()| JsonOrProtobuf::reply_content_type(given.map(Into::into)));
            match (health(given), handler) {
                (Ok(reply), Ok(content_type)) => assert_eq!(reply.content_type, content_type),
                (Err(error), Err(other)) => assert_eq!(error.detail(), other.detail()),
                (answer, handler) => panic!("{given:?}: {answer:?} and {handler:?}"),
            }
        }
    }

    #[test]
    fn its_first_field_is_a_text_in_protobuf() {
        // So is that of google.protobuf.StringValue.
        let reply = health(Some(PROTOBUF)).unwrap();
        assert_eq!(Protobuf::decode(reply.body).ok(), Some("ok".to_owned()));
    }
}
