//! How a case becomes one named test for each generation.

/// Makes a test of each case for each generation: `call::v6::go_calls_rust::CASE`.
///
/// The cases are functions in the modules `go_calls_rust` and `rust_calls_go` of the cell's own module, which take the
/// [`Generation`](micro_interop::Generation) of the Go side.
macro_rules! cell {
    ($cell:ident $cases:tt) => {
        mod v2 {
            cell!(@generation $cell V2 $cases);
        }
        mod v3 {
            cell!(@generation $cell V3 $cases);
        }
        mod v6 {
            cell!(@generation $cell V6 $cases);
        }
    };
    (@generation $cell:ident $generation:ident { $($direction:ident: $tests:tt)* }) => {
        $(mod $direction {
            cell!(@tests $cell $direction $generation $tests);
        })*
    };
    (@tests $cell:ident $direction:ident $generation:ident [$($test:ident),* $(,)?]) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            crate::$cell::$direction::$test(micro_interop::Generation::$generation).await;
        })*
    };
}
