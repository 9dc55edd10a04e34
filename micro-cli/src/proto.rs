//! Protobuf from JSON and back, by a .proto file that is read at run time.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};

use crate::failure::Failure;
use crate::nearest;

/// The messages of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    request: MessageDescriptor,
    reply: MessageDescriptor,
}

impl Messages {
    /// Those of the endpoint `Service.Method`, of whatever package.
    pub(crate) fn of(file: &Path, includes: &[PathBuf], endpoint: &str) -> Result<Self, Failure> {
        let pool = compile(file, includes)?;
        let called = |method: &MethodDescriptor| {
            format!("{}.{}", method.parent_service().name(), method.name())
        };
        let methods: Vec<MethodDescriptor> =
            pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
        let is_it = |method: &&MethodDescriptor| {
            called(method) == endpoint || method.full_name() == endpoint
        };
        match methods.iter().find(is_it) {
            Some(method) => Ok(Self { request: method.input(), reply: method.output() }),
            None => {
                let names: Vec<String> = methods.iter().map(called).collect();
                let names = names.iter().map(String::as_str);
                let hint = nearest::hint(endpoint, names, "it has").unwrap_or_default();
                let file = file.display();
                Err(Failure::usage(format!("{file} has no method {endpoint}: {hint}")))
            }
        }
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

fn compile(file: &Path, includes: &[PathBuf]) -> Result<DescriptorPool, Failure> {
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
    Ok(compiler.descriptor_pool())
}

fn fields(message: &MessageDescriptor) -> String {
    let names: Vec<String> = message.fields().map(|field| field.json_name().to_owned()).collect();
    names.join(", ")
}
