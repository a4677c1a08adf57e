//! A schema as the shape of its rows.

use std::ops::Range;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition};
use ::parquet::schema::types::{SchemaDescriptor, Type};

use super::Fault;

/// The shape of a file's rows.
#[derive(Debug)]
pub(super) struct Tree {
    /// The columns of a row, by name.
    pub(super) fields: Vec<(String, Node)>,
    /// What each leaf is called, as its path without the groups that only make a list.
    pub(super) names: Vec<String>,
}

/// A part of a row's shape, where the part around it is there.
#[derive(Debug)]
pub(super) enum Node {
    /// A value, of the column of this number.
    Leaf(usize),
    /// Fields by name.
    Group(Vec<(String, Self)>),
    /// Something that may be null.
    Optional {
        /// Columns of what is within.
        leaves: Range<usize>,
        /// Definition level from which it is there.
        level: i16,
        /// What may be null.
        inner: Box<Self>,
    },
    /// Any number of something.
    List {
        /// Columns of an element.
        leaves: Range<usize>,
        /// Definition level from which there is an element.
        level: i16,
        /// Repetition level of every element but the first.
        repeat: i16,
        /// An element.
        item: Box<Self>,
    },
    /// Any number of pairs.
    Map {
        /// Columns of a pair.
        leaves: Range<usize>,
        /// As a list's.
        level: i16,
        /// As a list's.
        repeat: i16,
        /// The pair's key.
        key: Box<Self>,
        /// The pair's value.
        value: Box<Self>,
    },
}

impl Tree {
    /// The shape of the rows that `schema` describes.
    pub(super) fn new(schema: &SchemaDescriptor) -> Result<Self, Fault> {
        let mut names = Vec::new();
        let fields = fields(schema.root_schema(), &mut Path::default(), &mut names)?;
        if names.len() != schema.num_columns() {
            return Err(Fault::damaged("its schema contradicts itself"));
        }
        Ok(Self { fields, names })
    }
}

/// Where in the schema we are.
#[derive(Debug, Clone, Default)]
struct Path {
    name: String,
    level: i16,
    repeat: i16,
}

impl Path {
    fn field(&self, name: &str) -> Self {
        let dot = if self.name.is_empty() { "" } else { "." };
        Self {
            name: format!("{}{dot}{name}", self.name),
            ..*self
        }
    }

    fn optional(&self) -> Self {
        Self {
            level: self.level + 1,
            ..self.clone()
        }
    }

    fn repeated(&self) -> Self {
        Self {
            level: self.level + 1,
            repeat: self.repeat + 1,
            ..self.clone()
        }
    }
}

fn fields(
    group: &Type,
    path: &mut Path,
    names: &mut Vec<String>,
) -> Result<Vec<(String, Node)>, Fault> {
    let mut found = Vec::new();
    for field in group.get_fields() {
        let path = path.field(field.name());
        found.push((field.name().to_owned(), node(field, &path, names)?));
    }
    Ok(found)
}

/// The shape of a field, which may be null or repeated.
fn node(field: &Type, path: &Path, names: &mut Vec<String>) -> Result<Node, Fault> {
    let first = names.len();
    match field.get_basic_info().repetition() {
        Repetition::REQUIRED => bare(field, path, names),
        Repetition::OPTIONAL => {
            let path = path.optional();
            let inner = Box::new(bare(field, &path, names)?);
            Ok(Node::Optional {
                leaves: first..names.len(),
                level: path.level,
                inner,
            })
        }
        // On its own, one of a list that is never null.
        Repetition::REPEATED => {
            let path = path.repeated();
            let item = bare(field, &path, names)?;
            Ok(list(item, &path, first..names.len()))
        }
    }
}

fn list(item: Node, path: &Path, leaves: Range<usize>) -> Node {
    Node::List {
        leaves,
        level: path.level,
        repeat: path.repeat,
        item: Box::new(item),
    }
}

/// The shape of a field that is there.
fn bare(field: &Type, path: &Path, names: &mut Vec<String>) -> Result<Node, Fault> {
    if field.is_primitive() {
        names.push(path.name.clone());
        return Ok(Node::Leaf(names.len() - 1));
    }
    if let Some(repeated) = only_repeated(field) {
        let first = names.len();
        let path = path.repeated();
        if is_list(field) {
            let item = element(field, repeated, &path, names)?;
            return Ok(list(item, &path, first..names.len()));
        }
        if let (true, [key, value]) = (is_map(field), children(repeated)) {
            let key = Box::new(node(key, &path.field("key"), names)?);
            let value = Box::new(node(value, &path.field("value"), names)?);
            return Ok(Node::Map {
                leaves: first..names.len(),
                level: path.level,
                repeat: path.repeat,
                key,
                value,
            });
        }
    }
    if children(field).is_empty() {
        let name = &path.name;
        return Err(Fault::Unsupported(format!(
            "a Parquet file in which '{name}' is a group without columns: leave it out"
        )));
    }
    fields(field, &mut path.clone(), names).map(Node::Group)
}

/// The shape of an element of `list`, whose repeated field is `repeated`.
///
/// That field is the element itself in files of older writers, by the rules for backward
/// compatibility of the format's `LogicalTypes.md`, and otherwise a group around it.
fn element(
    list: &Type,
    repeated: &Type,
    path: &Path,
    names: &mut Vec<String>,
) -> Result<Node, Fault> {
    let is_element = match children(repeated) {
        [one] => {
            let name = repeated.name();
            one.get_basic_info().repetition() == Repetition::REPEATED
                || name == "array"
                || name.strip_suffix("_tuple") == Some(list.name())
        }
        _ => true,
    };
    match children(repeated) {
        [one] if !is_element => node(one, path, names),
        _ => bare(repeated, path, names),
    }
}

fn children(field: &Type) -> &[::parquet::schema::types::TypePtr] {
    if field.is_group() {
        field.get_fields()
    } else {
        &[]
    }
}

/// The one field of a group, where it is repeated.
fn only_repeated(group: &Type) -> Option<&Type> {
    match children(group) {
        [one] if one.get_basic_info().repetition() == Repetition::REPEATED => Some(one),
        _ => None,
    }
}

fn is_list(group: &Type) -> bool {
    let info = group.get_basic_info();
    info.logical_type_ref() == Some(&LogicalType::List)
        || info.converted_type() == ConvertedType::LIST
}

fn is_map(group: &Type) -> bool {
    let info = group.get_basic_info();
    info.logical_type_ref() == Some(&LogicalType::Map)
        || matches!(
            info.converted_type(),
            ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE
        )
}
