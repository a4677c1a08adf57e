//! Schemas of other writers, and nested types.

use super::*;

fn round_trip(schema: &str, rows: &[Value]) {
    for properties in [plain(), small_pages(WriterProperties::builder())] {
        let bytes = table(schema, properties.build(), &[rows.to_vec()]);
        assert_eq!(super::rows(&bytes), rows, "{schema}");
    }
}

#[test]
fn legacy_parquet_lists_become_lists() {
    let rows = [
        json!({"a": [1, 2], "b": null}),
        json!({"a": [], "b": []}),
        json!({"a": [3], "b": [4, 5, 6]}),
    ];
    // Elements that are the repeated field itself, and repeated fields without a list.
    for list in [
        "optional group b (LIST) { repeated int64 element; }",
        "optional group b (LIST) { repeated group bag { required int64 array_element; } }",
    ] {
        round_trip(&format!("message m {{ repeated int64 a; {list} }}"), &rows);
    }
    let rows = [
        json!({"b": [{"x": 1, "y": "é"}, {"x": null, "y": "z"}]}),
        json!({"b": null}),
        json!({"b": []}),
    ];
    for repeated in ["array", "b_tuple", "anything"] {
        let fields = "optional int64 x; required binary y (STRING);";
        let list =
            format!("optional group b (LIST) {{ repeated group {repeated} {{ {fields} }} }}");
        round_trip(&format!("message m {{ {list} }}"), &rows);
    }
    // If the group has one field, its name decides whether the group is the element.
    let rows = [json!({"b": [{"x": 1}, {"x": 2}]})];
    for repeated in ["array", "b_tuple"] {
        let list = format!(
            "optional group b (LIST) {{ repeated group {repeated} {{ required int64 x; }} }}"
        );
        round_trip(&format!("message m {{ {list} }}"), &rows);
    }
    let rows = [json!({"b": [{"x": 1}, {"x": 2}]}), json!({"b": []})];
    round_trip(
        "message m { repeated group b { optional int64 x; } }",
        &rows,
    );
}

#[test]
fn parquet_maps_become_objects() {
    let map = "(MAP) { repeated group key_value { required binary key (STRING); optional int64 value; } }";
    let rows = [
        json!({"m": {"a": 1, "b": null}}),
        json!({"m": {}}),
        json!({"m": null}),
        json!({"m": {"c": -3}}),
    ];
    round_trip(&format!("message s {{ optional group m {map} }}"), &rows);
    let lists = "(MAP) { repeated group key_value { required binary key (STRING); \
                 optional group value (LIST) { repeated group list { required int64 element; } } } }";
    let rows = [
        json!({"m": {"a": [1, 2], "b": [], "c": null}}),
        json!({"m": {}}),
    ];
    round_trip(&format!("message s {{ required group m {lists} }}"), &rows);
}

#[test]
fn parquet_groups_of_nulls_become_objects() {
    let schema = "message s { optional group a { optional group b { optional int64 c; } required boolean d; } }";
    let rows = [
        json!({"a": null}),
        json!({"a": {"b": null, "d": true}}),
        json!({"a": {"b": {"c": null}, "d": false}}),
        json!({"a": {"b": {"c": 7}, "d": true}}),
    ];
    round_trip(schema, &rows);
}

/// Generates a field's declaration and its values.
fn field(depth: u32) -> BoxedStrategy<(String, BoxedStrategy<Value>)> {
    let leaf = prop_oneof![
        Just((
            "binary NAME (STRING);".to_owned(),
            "[a-zé]{0,3}".prop_map(Value::from).boxed()
        )),
        Just((
            "int64 NAME;".to_owned(),
            any::<i64>().prop_map(Value::from).boxed()
        )),
        Just((
            "boolean NAME;".to_owned(),
            any::<bool>().prop_map(Value::from).boxed()
        )),
    ];
    let bare = if depth == 0 {
        leaf.boxed()
    } else {
        let list = field(depth - 1).prop_map(|(element, values)| {
            let element = element.replacen("NAME", "element", 1);
            let list = format!("group NAME (LIST) {{ repeated group list {{ {element} }} }}");
            (
                list,
                prop::collection::vec(values, 0..4)
                    .prop_map(Value::from)
                    .boxed(),
            )
        });
        let group = (field(depth - 1), field(depth - 1)).prop_map(|((a, x), (b, y))| {
            let (a, b) = (a.replacen("NAME", "a", 1), b.replacen("NAME", "b", 1));
            let values = (x, y).prop_map(|(a, b)| json!({"a": a, "b": b})).boxed();
            (format!("group NAME {{ {a} {b} }}"), values)
        });
        prop_oneof![leaf, list, group].boxed()
    };
    (any::<bool>(), bare)
        .prop_map(|(optional, (declared, values))| {
            if optional {
                let values = prop_oneof![1 => Just(Value::Null), 3 => values].boxed();
                (format!("optional {declared}"), values)
            } else {
                (format!("required {declared}"), values)
            }
        })
        .boxed()
}

fn any_table() -> impl Strategy<Value = (String, Vec<Value>)> {
    field(3).prop_flat_map(|(declared, values)| {
        let schema = format!("message m {{ {} }}", declared.replacen("NAME", "f", 1));
        let row = values.prop_map(|value| json!({"f": value}));
        (Just(schema), prop::collection::vec(row, 1..12))
    })
}

proptest! {
    #[test]
    fn random_parquet_nesting_equals_json((schema, written) in any_table(), small: bool, two: bool) {
        let version = if two { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let builder = plain().set_writer_version(version);
        let properties = if small { small_pages(builder) } else { builder };
        let bytes = table(&schema, properties.build(), &[&written]);
        prop_assert_eq!(rows(&bytes), written);
    }
}
