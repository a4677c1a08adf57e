use std::collections::VecDeque;
use std::ops::Range;

/// Marks a node where no token ends.
const NONE: u32 = 0;

/// A trie of tokens by their bytes, for the longest token that starts a text.
///
/// Nodes are numbered level by level. So the children of one node are contiguous, followed by those
/// of the next node: 9 bytes per node.
#[derive(Debug)]
pub(super) struct Trie {
    /// By node: its first child. Its children end before the first child of the next node.
    first_child: Vec<u32>,
    /// By node: the byte that leads to it. Ascending among the children of one node.
    label: Vec<u8>,
    /// By node: the id of the token that ends here.
    id: Vec<u32>,
}

impl Trie {
    /// Builds a trie of tokens, all different and none empty, with their ids, none 0.
    pub(super) fn new(mut tokens: Vec<(&[u8], u32)>) -> Self {
        tokens.sort_unstable();
        let mut trie = Self {
            first_child: Vec::new(),
            label: vec![0],
            id: Vec::new(),
        };
        // By node, in the order of their numbers: its tokens, and the number of first bytes that
        // they share.
        let mut nodes: VecDeque<(Range<usize>, usize)> = VecDeque::from([(0..tokens.len(), 0)]);
        while let Some((range, depth)) = nodes.pop_front() {
            trie.first_child.push(trie.label.len() as u32);
            let Range { mut start, end } = range;
            let mut id = NONE;
            if let Some((token, own)) = tokens[start..end].first()
                && token.len() == depth
            {
                id = *own;
                start += 1;
            }
            trie.id.push(id);
            while start < end {
                let byte = tokens[start].0[depth];
                let len = tokens[start..end].partition_point(|(token, _)| token[depth] == byte);
                trie.label.push(byte);
                nodes.push_back((start..start + len, depth + 1));
                start += len;
            }
        }
        trie.first_child.push(trie.label.len() as u32);
        trie
    }

    /// Returns the longest token that `bytes` start with: its length and id.
    pub(super) fn longest(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let mut longest = None;
        let mut node = 0;
        for (&byte, len) in bytes.iter().zip(1..) {
            let first = self.first_child[node] as usize;
            let children = &self.label[first..self.first_child[node + 1] as usize];
            let Ok(child) = children.binary_search(&byte) else {
                break;
            };
            node = first + child;
            if self.id[node] != NONE {
                longest = Some((len, self.id[node]));
            }
        }
        longest
    }
}
