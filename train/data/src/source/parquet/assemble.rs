//! A row, from what its columns hold.

use std::ops::Range;

use serde_json::{Map, Value};

use super::super::RowProblem;
use super::super::unreadable::unreadable;
use super::Fault;
use super::column::{Column, disagree};
use super::tree::{Node, Tree};

/// A row that is being put together.
///
/// What the columns say of lists and nulls must agree in all of them, or the file is damaged. A
/// value that cannot be had is there as why it cannot.
pub(super) struct Row<'a> {
    columns: &'a mut [Box<dyn Column>],
    limit: usize,
    bytes: usize,
    problem: Option<RowProblem>,
}

/// What a value takes at least, for the limit of a row.
const LEAST_BYTES: usize = 8;

impl<'a> Row<'a> {
    /// The next row of `columns`.
    pub(super) fn read(
        tree: &Tree,
        columns: &'a mut [Box<dyn Column>],
        limit: usize,
    ) -> Result<Result<Map<String, Value>, RowProblem>, Fault> {
        for (column, name) in columns.iter_mut().zip(&tree.names) {
            column.begin_row(name)?;
        }
        let mut row = Self {
            columns,
            limit,
            bytes: 0,
            problem: None,
        };
        // The row itself is never null.
        let fields = row.fields(&tree.fields, 0)?;
        Ok(row.problem.map_or(Ok(fields), Err))
    }

    /// Level of the first of `leaves`, which must be as the part around it says.
    fn level(&self, leaves: &Range<usize>, around: i16) -> Result<i16, Fault> {
        let level = self.columns.get(leaves.start).map_or(-1, |c| c.level());
        if level < around {
            return Err(disagree());
        }
        Ok(level)
    }

    fn fields(
        &mut self,
        fields: &[(String, Node)],
        around: i16,
    ) -> Result<Map<String, Value>, Fault> {
        let mut object = Map::with_capacity(fields.len());
        for (name, node) in fields {
            object.insert(name.clone(), self.node(node, around)?);
        }
        Ok(object)
    }

    /// A part, where the part around it is there, as it is from level `around` on.
    fn node(&mut self, node: &Node, around: i16) -> Result<Value, Fault> {
        match node {
            Node::Leaf(column) => self.leaf(*column),
            Node::Group(fields) => self.fields(fields, around).map(Value::Object),
            Node::Optional {
                leaves,
                level,
                inner,
            } => {
                if self.level(leaves, around)? < *level {
                    self.pass(leaves)?;
                    self.count(LEAST_BYTES);
                    return Ok(Value::Null);
                }
                self.node(inner, *level)
            }
            Node::List {
                leaves,
                level,
                repeat,
                item,
            } => {
                let mut items = Vec::new();
                let mut goes_on = self.begins(leaves, around, *level)?;
                while goes_on {
                    let item = self.node(item, *level)?;
                    if self.problem.is_none() {
                        items.push(item);
                    }
                    goes_on = self.goes_on(leaves, *repeat)?;
                }
                Ok(Value::Array(items))
            }
            Node::Map {
                leaves,
                level,
                repeat,
                key,
                value,
            } => {
                let mut pairs = Map::new();
                let mut goes_on = self.begins(leaves, around, *level)?;
                while goes_on {
                    let key = match self.node(key, *level)? {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    let value = self.node(value, *level)?;
                    if self.problem.is_none() {
                        pairs.insert(key, value);
                    }
                    goes_on = self.goes_on(leaves, *repeat)?;
                }
                Ok(Value::Object(pairs))
            }
        }
    }

    /// Whether a list has an element, which it has from `level` on.
    fn begins(&mut self, leaves: &Range<usize>, around: i16, level: i16) -> Result<bool, Fault> {
        if self.level(leaves, around)? >= level {
            return Ok(true);
        }
        self.pass(leaves)?;
        Ok(false)
    }

    /// Whether another element follows, which repeats at level `repeat`.
    fn goes_on(&self, leaves: &Range<usize>, repeat: i16) -> Result<bool, Fault> {
        match self.columns.get(leaves.start).map_or(0, |c| c.repeat()) {
            next if next > repeat => Err(disagree()),
            next => Ok(next == repeat),
        }
    }

    /// Passes over what is null or empty, in each of its columns.
    fn pass(&mut self, leaves: &Range<usize>) -> Result<(), Fault> {
        let columns = self.columns.get_mut(leaves.clone());
        columns
            .ok_or_else(disagree)?
            .iter_mut()
            .try_for_each(|column| column.pass())
    }

    fn leaf(&mut self, column: usize) -> Result<Value, Fault> {
        let values = self.columns.get_mut(column).ok_or_else(disagree)?;
        let (value, bytes) = values.value()?;
        // Of what cannot be had nothing is held but why.
        let (value, bytes) = match value {
            Ok(value) => (value, bytes.max(LEAST_BYTES)),
            Err(what) => {
                let bytes = what.len();
                (unreadable(what), bytes)
            }
        };
        self.count(bytes);
        Ok(value)
    }

    /// Adds to what the row holds.
    fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limit {
            let limit = self.limit;
            self.problem.get_or_insert(RowProblem::TooLong { limit });
        }
    }
}
