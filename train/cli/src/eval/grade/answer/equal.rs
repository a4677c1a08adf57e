//! When two answers are the same.

use super::{Answer, Leaf, Relation};

/// Lists with more items are compared in order.
const LONGEST_UNORDERED: usize = 256;

impl Answer {
    /// Whether both are the same answer.
    pub(in super::super) fn same(&self, other: &Self) -> bool {
        use Answer::{Brackets, Leaf, List, Matrix, Relation, Set, Union};
        match (self, other) {
            (Leaf(a), Leaf(b)) => a.same(b),
            (List(a), List(b)) | (Union(a), Union(b)) => matched(a, b),
            (Set(a), Set(b)) | (Set(a), List(b)) | (List(a), Set(b)) => {
                contains(a, b) && contains(b, a)
            }
            (Set(set), one) | (one, Set(set)) => {
                !set.is_empty() && set.iter().all(|item| item.same(one))
            }
            (
                Brackets { open, items, close },
                Brackets {
                    open: other_open,
                    items: other_items,
                    close: other_close,
                },
            ) => open == other_open && close == other_close && in_order(items, other_items),
            (
                Matrix { bars, rows },
                Matrix {
                    bars: other_bars,
                    rows: other_rows,
                },
            ) => {
                bars == other_bars
                    && rows.len() == other_rows.len()
                    && rows.iter().zip(other_rows).all(|(a, b)| in_order(a, b))
            }
            (Relation(a), Relation(b)) => a.same(b),
            (Relation(relation), Leaf(named)) | (Leaf(named), Relation(relation)) => {
                named.equation.is_some() && named.equation == relation.difference
            }
            (List(list), brackets) | (brackets, List(list)) => is_point(list, brackets),
            _ => false,
        }
    }
}

impl Leaf {
    fn same(&self, other: &Self) -> bool {
        if self.text.is_empty() {
            // Nothing is no answer.
            return false;
        }
        let values = self.value.is_some() && self.value == other.value;
        let words = (self.words || other.words) && self.folded == other.folded;
        let equations = self.equation.is_some() && self.equation == other.equation;
        self.text == other.text || values || words || equations
    }
}

impl Relation {
    /// The one letter on the left of an equation and what it is.
    fn coordinate(&self) -> Option<(&str, &Leaf)> {
        match (self.signs.as_slice(), self.sides.as_slice()) {
            (["="], [name, value]) => {
                let name = name.text.trim_end();
                let letter = name.len() == 1 && name.starts_with(|c: char| c.is_ascii_alphabetic());
                letter.then_some((name, value))
            }
            _ => None,
        }
    }

    fn same(&self, other: &Self) -> bool {
        if self.signs != other.signs {
            return false;
        }
        let difference = self.difference.is_some() && self.difference == other.difference;
        let mut sides = self.sides.iter().zip(&other.sides);
        let mut turned = self.sides.iter().zip(other.sides.iter().rev());
        let symmetric = self.signs.iter().all(|sign| matches!(*sign, "=" | "≠"));
        difference || sides.all(|(a, b)| a.same(b)) || (symmetric && turned.all(|(a, b)| a.same(b)))
    }
}

/// Whether a list as `x = 1, y = -2` gives the coordinates of a point in the order of their names.
fn is_point(list: &[Answer], brackets: &Answer) -> bool {
    let Answer::Brackets { open, items, close } = brackets else {
        return false;
    };
    let mut coordinates = Vec::new();
    for item in list {
        match item {
            Answer::Relation(relation) => coordinates.extend(relation.coordinate()),
            _ => return false,
        }
    }
    coordinates.sort_by_key(|(name, _)| *name);
    let twice = coordinates.windows(2).any(|two| two[0].0 == two[1].0);
    let values = coordinates.iter().zip(items);
    let same = |((_, value), item): (&(&str, &Leaf), &Answer)| match item {
        Answer::Leaf(item) => value.same(item),
        _ => false,
    };
    (open.is_symbol('(') && close.is_symbol(')') && !twice)
        && coordinates.len() == list.len()
        && list.len() == items.len()
        && values.into_iter().all(same)
}

fn in_order(a: &[Answer], b: &[Answer]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// Whether every item of one has one of its own in the other.
fn matched(a: &[Answer], b: &[Answer]) -> bool {
    if a.len() != b.len() || a.len() > LONGEST_UNORDERED {
        return in_order(a, b);
    }
    let mut left: Vec<_> = b.iter().collect();
    a.iter().all(|item| {
        let found = left.iter().position(|other| item.same(other));
        found.map(|at| left.swap_remove(at)).is_some()
    })
}

fn contains(set: &[Answer], items: &[Answer]) -> bool {
    if set.len().max(items.len()) > LONGEST_UNORDERED {
        return in_order(set, items);
    }
    items
        .iter()
        .all(|item| set.iter().any(|other| other.same(item)))
}
