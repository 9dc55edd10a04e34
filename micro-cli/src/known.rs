//! What the registry knows of an endpoint before it is called.

use micro::registry::Endpoint;

use crate::args::Target;
use crate::failure::Failure;
use crate::format::Format;
use crate::network::Network;
use crate::{fields, types};

/// What the registry knows of the endpoint that is called, if it was asked and knows it.
pub(crate) struct Known<'a> {
    target: &'a Target,
    /// Of each version that has it.
    endpoints: Vec<Endpoint>,
}

impl<'a> Known<'a> {
    /// Asks the registry, unless the registry is not to be asked.
    pub(crate) async fn find(target: &'a Target, network: &Network) -> Result<Self, Failure> {
        if target.unchecked || target.address.is_some() {
            return Ok(Self { target, endpoints: Vec::new() });
        }
        let services = network.service(&target.service).await?;
        let endpoints = types::called(&services).filter(|known| known.name == target.endpoint);
        Ok(Self { target, endpoints: endpoints.cloned().collect() })
    }

    /// A stream is no call: go-micro's wire does not tell them apart, and a handler would run for what only opens it.
    pub(crate) fn must_be_stream(&self, wanted: bool) -> Result<(), Failure> {
        let fits = |endpoint: &Endpoint| types::is_stream(endpoint) == wanted;
        if self.endpoints.is_empty() || self.endpoints.iter().any(fits) {
            return Ok(());
        }
        let Target { service, endpoint, .. } = self.target;
        let (what, verb) = if wanted { ("no stream", "call") } else { ("a stream", "stream") };
        Err(Failure::usage(format!(
            "{endpoint} of {service} is {what}: micro {verb} {service} {endpoint} (--unchecked tries it all the same)"
        )))
    }

    /// A field that is likely mistyped is not sent; of another one that the registry does not know, says what it knows.
    pub(crate) fn check_fields(
        &self,
        format: &Format,
        body: &[u8],
    ) -> Result<Option<String>, Failure> {
        if !format.is_json() {
            return Ok(None);
        }
        let mut unknown = None;
        for endpoint in &self.endpoints {
            match endpoint.request.as_ref().and_then(|kind| fields::unknown(body, kind)) {
                Some(field) => unknown = Some(field),
                // What one version takes may be meant for it.
                None => return Ok(None),
            }
        }
        match unknown {
            Some(field) if field.mistyped => {
                Err(Failure::usage(format!("{} (--unchecked sends it all the same)", field.text)))
            }
            other => Ok(other.map(|field| field.text)),
        }
    }
}
