//! Protobuf from JSON and back, by a .proto file that is read at run time.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};

use crate::failure::Failure;
use crate::nearest;

/// The messages of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    request: MessageDescriptor,
    reply: MessageDescriptor,
}

impl Messages {
    /// Those of the endpoint `Service.Method`, of whatever package: of the file itself, or else of one that it imports.
    pub(crate) fn of(file: &Path, includes: &[PathBuf], endpoint: &str) -> Result<Self, Failure> {
        let (own, imported) = methods(file, includes)?;
        let called = |method: &MethodDescriptor| {
            format!("{}.{}", method.parent_service().name(), method.name())
        };
        for methods in [&own, &imported] {
            let mut found = methods.iter().filter(|method| called(method) == endpoint);
            match (found.next(), found.next()) {
                (Some(method), None) => {
                    return Ok(Self { request: method.input(), reply: method.output() });
                }
                (Some(one), Some(other)) => {
                    let (one, other) = (one.full_name(), other.full_name());
                    return Err(Failure::usage(format!(
                        "{} imports two methods of that name, {one} and {other}: give the file of the one",
                        file.display()
                    )));
                }
                _ => {}
            }
        }
        let names: Vec<String> = own.iter().chain(&imported).map(called).collect();
        let hint = nearest::hint(endpoint, names.iter().map(String::as_str), "it has");
        let hint = hint.unwrap_or_else(|| "it has no services".to_owned());
        Err(Failure::usage(format!("{} has no method {endpoint}: {hint}", file.display())))
    }

    /// The request in protobuf.
    pub(crate) fn encode(&self, json: &[u8]) -> Result<Bytes, String> {
        let mut from = serde_json::Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize(self.request.clone(), &mut from)
            .and_then(|message| from.end().map(|()| message))
            .map_err(|error| {
                let fields = fields(&self.request);
                format!("it is no {}: {error}; its fields: {fields}", self.request.full_name())
            })?;
        Ok(message.encode_to_vec().into())
    }

    /// A reply in JSON.
    pub(crate) fn decode(&self, body: Bytes) -> Result<Vec<u8>, String> {
        let name = self.reply.full_name();
        let message = DynamicMessage::decode(self.reply.clone(), body)
            .map_err(|error| format!("the reply is no {name}: {error}"))?;
        serde_json::to_vec(&message).map_err(|error| format!("the {name} has no JSON: {error}"))
    }
}

type Methods = Vec<MethodDescriptor>;

/// The methods of a file, and those of what it imports.
fn methods(file: &Path, includes: &[PathBuf]) -> Result<(Methods, Methods), Failure> {
    let wrong = |error: protox::Error| {
        // With the line and what is wrong there, as compilers say it.
        Failure::usage(format!("{}: {error:?}", file.display()))
    };
    // It would be looked for in the folders, and its absence be one of theirs.
    std::fs::metadata(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    let own = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let own = own.unwrap_or(Path::new(".")).to_owned();
    let folders: Vec<PathBuf> = includes.iter().cloned().chain([own]).collect();
    let mut compiler = protox::Compiler::new(&folders).map_err(wrong)?;
    compiler.include_imports(true).open_file(file).map_err(wrong)?;
    let own = compiler.files().find(|file| !file.is_import()).map(|file| file.name().to_owned());
    let services = compiler.descriptor_pool();
    let methods = services.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    Ok(methods.partition(|method| Some(method.parent_file().name()) == own.as_deref()))
}

fn fields(message: &MessageDescriptor) -> String {
    let names: Vec<String> = message.fields().map(|field| field.json_name().to_owned()).collect();
    names.join(", ")
}
