//! Nothing to use: each page of the book is the documentation of a module here, so that
//! `cargo test` compiles its snippets and runs them.

macro_rules! pages {
    ($($name:ident: $file:literal;)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($file)]
            pub mod $name {}
        )*
    };
}

pages! {
    introduction: "introduction.md";
    first_service: "first-service.md";
    flags: "flags.md";
    backends: "backends.md";
    calls: "calls.md";
    streams: "streams.md";
    nodes: "nodes.md";
    errors: "errors.md";
    limits: "limits.md";
    middleware: "middleware.md";
    outages: "outages.md";
    cli: "cli.md";
    go_micro: "go-micro.md";
    testing: "testing.md";
    echo: "echo.md";
    performance: "performance.md";
    sizes: "sizes.md";
    ci_full: "ci-full.md";
}
