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
        self.text == other.text || values || words
    }
}

impl Relation {
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
