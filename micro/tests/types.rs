//! What endpoints take and give, as the registry tells it.
#![cfg(all(feature = "memory", feature = "schemars"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "types that are only described")]

use std::collections::{BTreeMap, HashMap};

use micro::registry::{MAX_DEPTH, Value};
use micro::{Bytes, Context, ErrorKind, Server, Service};
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What is told of a type that is read, and of it when it is written.
fn both<T: JsonSchema>() -> [Option<Value>; 2] {
    let server = Server::new().raw_handler("T.T", async |_: Context, body: Bytes| Ok(body));
    let endpoint = server.describe::<T, T>("T.T").endpoints().remove(0);
    [endpoint.request, endpoint.response]
}

/// What is told of a type in either way, in alphabetical order.
fn told<T: JsonSchema>() -> Value {
    let [read, written] = both::<T>().map(|value| sorted(value.expect("something is told")));
    assert_eq!(read, written);
    read
}

fn sorted(mut value: Value) -> Value {
    value.values = value.values.into_iter().map(sorted).collect();
    value.values.sort_by(|a, b| a.name.cmp(&b.name));
    value
}

fn value(name: &str, kind: &str, values: &[Value]) -> Value {
    Value { name: name.to_owned(), kind: kind.to_owned(), values: values.to_vec() }
}

fn field(name: &str, kind: &str) -> Value {
    value(name, kind, &[])
}

/// The levels of a description.
fn depth(value: &Value) -> usize {
    1 + value.values.iter().map(depth).max().unwrap_or_default()
}

fn count(value: &Value) -> usize {
    1 + value.values.iter().map(count).sum::<usize>()
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Plain {
    text: String,
    yes: bool,
    small: u8,
    int: i32,
    long: i64,
    size: u64,
    single: f32,
    double: f64,
    #[serde(rename = "inJson")]
    in_rust: String,
}

#[test]
fn fields_have_their_names_in_json_and_their_types_in_go() {
    let fields = [
        field("double", "float64"),
        field("inJson", "string"),
        field("int", "int32"),
        field("long", "int64"),
        field("single", "float32"),
        field("size", "uint64"),
        field("small", "uint8"),
        field("text", "string"),
        field("yes", "bool"),
    ];
    assert_eq!(told::<Plain>(), value("Plain", "Plain", &fields));
    assert_eq!(told::<String>(), field("string", "string"));
    assert_eq!(told::<serde_json::Value>(), field("any", "any"));
    assert_eq!(both::<()>(), [None, None]);
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Item {
    name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Nested {
    item: Item,
    boxed: Box<Item>,
    optional: Option<Item>,
    number: Option<i32>,
    list: Vec<Item>,
    lists: Vec<Vec<Item>>,
    numbers: Vec<i64>,
    bytes: Vec<u8>,
    pair: (u8, String),
    map: BTreeMap<String, Item>,
    by_number: HashMap<u32, bool>,
    any: HashMap<String, serde_json::Value>,
    nothing: (),
}

#[test]
fn what_is_optional_listed_or_mapped_is_told_with_its_fields() {
    let name = [field("name", "string")];
    let fields = [
        field("any", "map[string]any"),
        value("boxed", "Item", &name),
        field("by_number", "map[string]bool"),
        field("bytes", "[]uint8"),
        value("item", "Item", &name),
        value("list", "[]Item", &name),
        value("lists", "[][]Item", &name),
        value("map", "map[string]Item", &name),
        field("nothing", ""),
        field("number", "int32"),
        field("numbers", "[]int64"),
        value("optional", "Item", &name),
        field("pair", "[]any"),
    ];
    assert_eq!(told::<Nested>(), value("Nested", "Nested", &fields));
    assert_eq!(told::<Vec<Item>>(), value("[]Item", "[]Item", &name));
    assert_eq!(told::<Option<Item>>(), value("Item", "Item", &name));
    assert_eq!(
        told::<BTreeMap<String, Item>>(),
        value("map[string]Item", "map[string]Item", &name)
    );
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum Colour {
    Red,
    Green,
}

/// Each variant has a word of its own.
#[derive(Serialize, Deserialize, JsonSchema)]
enum Told {
    /// So it is.
    Yes,
    /// It is not.
    No,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum Figure {
    Circle { radius: f64 },
    Named(Item),
    Point,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind")]
enum Tagged {
    Circle { radius: f64 },
    Named(Item),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Either {
    Item(Item),
    Plain { plain: bool },
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Drawing {
    colour: Colour,
    maybe: Option<Colour>,
    told: Told,
    figures: Vec<Figure>,
    tagged: Tagged,
    either: Either,
    #[serde(flatten)]
    item: Item,
}

#[test]
fn an_enum_is_told_by_its_name_and_its_variants_by_what_is_in_them() {
    let figure = [
        value("Circle", "", &[field("radius", "float64")]),
        value("Named", "Item", &[field("name", "string")]),
    ];
    let tagged = [field("kind", "string"), field("name", "string"), field("radius", "float64")];
    let fields = [
        field("colour", "Colour"),
        value("either", "Either", &[field("name", "string"), field("plain", "bool")]),
        value("figures", "[]Figure", &figure),
        field("maybe", "Colour"),
        field("name", "string"),
        value("tagged", "Tagged", &tagged),
        field("told", "Told"),
    ];
    assert_eq!(told::<Drawing>(), value("Drawing", "Drawing", &fields));
    assert_eq!(told::<Colour>(), field("Colour", "Colour"));
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Tree {
    name: String,
    parent: Option<Box<Self>>,
    children: Vec<Self>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Forest {
    trees: BTreeMap<String, Tree>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Lists(Vec<Self>);

#[test]
fn what_contains_itself_is_named_there_without_its_fields() {
    let tree = [field("children", "[]Tree"), field("name", "string"), field("parent", "Tree")];
    assert_eq!(told::<Tree>(), value("Tree", "Tree", &tree));
    let forest = [value("trees", "map[string]Tree", &tree)];
    assert_eq!(told::<Forest>(), value("Forest", "Forest", &forest));
    assert_eq!(told::<Lists>(), field("[]Lists", "[]Lists"));
}

/// A structure of two more of the next, down to `N`.
struct Twice<const N: usize>;

impl<const N: usize> JsonSchema for Twice<N> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Twice{N}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let inner = (1..N).fold(json!({ "type": "string" }), |inner, _| {
            json!({ "type": "object", "properties": { "one": inner.clone(), "two": inner } })
        });
        json_schema!({ "type": "object", "properties": { "one": inner } })
    }
}

/// A structure in a structure, `N` times.
struct Deep<const N: usize>;

impl<const N: usize> JsonSchema for Deep<N> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Deep{N}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let inner = (1..N).fold(
            json!({ "type": "string" }),
            |inner, _| json!({ "type": "object", "properties": { "deeper": inner } }),
        );
        json_schema!({ "type": "object", "properties": { "deeper": inner } })
    }
}

#[test]
fn a_description_ends_where_it_is_as_deep_or_as_long_as_one_may_be() {
    assert_eq!(depth(&told::<Deep<5>>()), 6);
    assert_eq!(depth(&told::<Deep<50>>()), MAX_DEPTH);
    // Two to the power of 15, if it were told in full.
    let twice = told::<Twice<15>>();
    assert!((500..1200).contains(&count(&twice)), "{}", count(&twice));
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    #[serde(rename(deserialize = "ask", serialize = "asked"))]
    text: String,
}

#[test]
fn a_request_is_told_as_it_is_read_and_a_response_as_it_is_written() {
    let [read, written] = both::<Question>().map(|told| told.unwrap().values.remove(0).name);
    assert_eq!([read.as_str(), written.as_str()], ["ask", "asked"]);
}

#[tokio::test]
async fn a_service_is_registered_with_the_types_that_are_told_and_without_others() {
    let service = Service::builder("s")
        .handler("S.Told", async |_: Context, _: Plain| Ok(()))
        .handler("S.Untold", async |_: Context, _: Plain| Ok(()))
        .raw_handler("S.Raw", async |_: Context, body| Ok(body))
        .describe::<Item, ()>("S.Told")
        .describe::<Tree, Vec<Item>>("S.Raw");
    let running = service.build().unwrap().start().await.unwrap();
    let name = "s".parse().unwrap();
    let found = running.client().registry().get(&name).await.unwrap().remove(0);
    let item = value("Item", "Item", &[field("name", "string")]);
    let [raw, told, untold] = &found.endpoints[..] else { panic!("{found:?}") };
    assert_eq!((&told.name[..], &told.request, &told.response), ("S.Told", &Some(item), &None));
    assert_eq!((&untold.request, &untold.response), (&None, &None));
    assert_eq!(raw.request.as_ref().unwrap().kind, "Tree");
    assert_eq!(raw.response.as_ref().unwrap().kind, "[]Item");

    // As go-micro writes it.
    let text = serde_json::to_value(told).unwrap();
    let fields = json!([{ "name": "name", "type": "string", "values": null }]);
    assert_eq!(text["request"], json!({ "name": "Item", "type": "Item", "values": fields }));
    assert_eq!(text["response"], json!(null));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_told_of_an_endpoint_without_a_handler_is_an_error_at_the_start() {
    let service = Service::builder("s")
        .handler("S.There", async |_: Context, (): ()| Ok(()))
        .describe::<Item, ()>("S.Gone");
    let error = service.build().unwrap().start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.detail().contains("S.Gone"), "{error}");
}
