//! Which subjects are taken.

/// Where registries listen, each behind a namespace too.
const REGISTRY: [&[&str]; 3] =
    [&["micro", "nats"], &["micro", "registry", "nats"], &["micro", "lease"]];

/// Whether registries listen there, in whatever namespace. Nothing else may be published there: a
/// message that is none of a registry's ends every go-micro process that hears it.
///
/// ```
/// # use micro_nats::is_registry_subject;
/// assert!(is_registry_subject("micro.nats.query"));
/// assert!(is_registry_subject("blue.micro.lease.greeter"));
/// assert!(!is_registry_subject("micro.orders"));
/// ```
pub fn is_registry_subject(subject: &str) -> bool {
    let parts: Vec<&str> = subject.split('.').collect();
    (0..parts.len()).any(|at| REGISTRY.iter().any(|known| parts[at..].starts_with(known)))
}
