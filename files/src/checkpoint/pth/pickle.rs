//! A reader of pickles that only builds data.
//!
//! A pickle is a program for a stack machine, described in Python's `pickletools.py`. This reader
//! knows the instructions that `torch.save` writes (protocol 2) and their equivalents in protocols
//! 3 and 4. Only the four kinds of [`Global`] can be called, and all are our own code. Any other
//! name is recorded, and the file is refused.

use std::collections::{BTreeSet, HashMap};

use super::PthProblem;
use super::value::{Node, Ref};

mod calls;

/// Longest pickle read: a tensor takes about 110 bytes.
const MAX_BYTES: usize = 16 << 20;
/// Most values created, memoised or on the stack.
const MAX_NODES: usize = 1 << 21;
/// Most unfinished containers.
const MAX_MARKS: usize = 1 << 10;
/// Longest name of a global.
const MAX_NAME: usize = 256;

/// Everything that a pickle created, and the number of its result.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) root: Ref,
}

impl<'a> Pickle<'a> {
    pub(super) fn get(&self, node: Ref) -> &Node<'a> {
        &self.nodes[node as usize]
    }
}

/// Reads the pickle `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Pickle<'_>, PthProblem> {
    if bytes.len() > MAX_BYTES {
        return Err(PthProblem::Pickle {
            at: MAX_BYTES,
            reason: "too long for a model",
        });
    }
    let mut machine = Machine {
        bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        refused: BTreeSet::new(),
    };
    let result = machine.run();
    // A refused name comes first, because it causes the errors after it.
    if !machine.refused.is_empty() {
        return Err(PthProblem::Globals {
            names: machine.refused.into_iter().collect(),
        });
    }
    match result {
        Ok(root) => Ok(Pickle {
            nodes: machine.nodes,
            root,
        }),
        Err(Stop(reason)) => Err(PthProblem::Pickle {
            at: machine.at,
            reason,
        }),
    }
}

/// The reason why a pickle can't be read.
struct Stop(&'static str);

type Step<T> = Result<T, Stop>;

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    stack: Vec<Ref>,
    /// Heights of the stack at which containers began.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
    refused: BTreeSet<String>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step<Ref> {
        loop {
            match self.byte()? {
                b'.' => return self.pop(),
                // The protocol and the length of a frame add no information.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.mark()?,
                b'N' => self.push(Node::None)?,
                0x88 | 0x89 => self.push(Node::Bool)?,
                b'K' => self.int::<1>(false)?,
                b'M' => self.int::<2>(false)?,
                b'J' => self.int::<4>(true)?,
                0x8a => self.long()?,
                b'G' => {
                    self.take(8)?;
                    self.push(Node::Float)?;
                }
                0x8c => self.string::<1>()?,
                b'X' => self.string::<4>()?,
                0x8d => self.string::<8>()?,
                b'}' => self.push(Node::Dict(Vec::new()))?,
                b']' => self.push(Node::List(Vec::new()))?,
                b')' => self.push(Node::Tuple(Vec::new()))?,
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::Tuple(items))?;
                }
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b'q' => self.put::<1>()?,
                b'r' => self.put::<4>()?,
                0x94 => {
                    let key = self.memo.len() as u32;
                    self.remember(key)?;
                }
                b'h' => self.recall::<1>()?,
                b'j' => self.recall::<4>()?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set_items(vec![key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(items)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(&items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name)?;
                }
                0x93 => self.stack_global()?,
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.pop_to_mark()?;
                    self.global(module, name)?;
                    self.refuse_call()?;
                }
                0x81 => {
                    self.pop()?;
                    self.refuse_call()?;
                }
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'Q' => self.storage()?,
                _ => return Err(Stop("an instruction that torch.save does not write")),
            }
        }
    }

    fn take(&mut self, len: usize) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..len).ok_or(Stop("it is cut off"))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or(Stop("it is cut off"))
    }

    fn byte(&mut self) -> Step<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Reads a little-endian number of `N` ≤ 8 bytes.
    fn number<const N: usize>(&mut self) -> Step<u64> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        Ok(u64::from_le_bytes(wide))
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().take(MAX_NAME).position(|&byte| byte == b'\n');
        let line = self.take(len.ok_or(Stop("a name without an end"))?)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| Stop("a name that is not UTF-8"))
    }

    fn push(&mut self, node: Node<'a>) -> Step<()> {
        if self.nodes.len() >= MAX_NODES {
            return Err(Stop("too many values"));
        }
        self.nodes.push(node);
        self.push_ref((self.nodes.len() - 1) as Ref)
    }

    fn push_ref(&mut self, node: Ref) -> Step<()> {
        if self.stack.len() >= MAX_NODES {
            return Err(Stop("too many values"));
        }
        self.stack.push(node);
        Ok(())
    }

    fn pop(&mut self) -> Step<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(Stop("a missing value is used"));
        }
        self.stack.pop().ok_or(Stop("a missing value is used"))
    }

    fn top(&self) -> Step<Ref> {
        let missing = Stop("a missing value is used");
        self.stack.last().copied().ok_or(missing)
    }

    fn mark(&mut self) -> Step<()> {
        if self.marks.len() >= MAX_MARKS {
            return Err(Stop("containers are nested too deeply"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Ref>> {
        let mark = self.marks.pop();
        let mark = mark.ok_or(Stop("a container ends without a start"))?;
        Ok(self.stack.split_off(mark))
    }

    fn node(&self, node: Ref) -> &Node<'a> {
        &self.nodes[node as usize]
    }

    fn int<const N: usize>(&mut self, signed: bool) -> Step<()> {
        let number = self.number::<N>()?;
        let value = match signed {
            true => i64::from(number as u32 as i32),
            false => number as i64,
        };
        self.push(Node::Int(value))
    }

    /// Reads a number in two's complement; its first byte is its length.
    fn long(&mut self) -> Step<()> {
        let len = usize::from(self.byte()?);
        if len > 8 {
            return Err(Stop("an integer of more than 64 bits"));
        }
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..len].copy_from_slice(bytes);
        self.push(Node::Int(i64::from_le_bytes(wide)))
    }

    fn string<const N: usize>(&mut self) -> Step<()> {
        let len = self.number::<N>()?;
        let len = usize::try_from(len).map_err(|_| Stop("it is cut off"))?;
        let text = std::str::from_utf8(self.take(len)?);
        self.push(Node::Str(
            text.map_err(|_| Stop("a string that is not UTF-8"))?,
        ))
    }

    fn tuple(&mut self, len: usize) -> Step<()> {
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn put<const N: usize>(&mut self) -> Step<()> {
        let key = self.number::<N>()? as u32;
        self.remember(key)
    }

    fn remember(&mut self, key: u32) -> Step<()> {
        if self.memo.len() >= MAX_NODES {
            return Err(Stop("too many values"));
        }
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Step<()> {
        let key = self.number::<N>()? as u32;
        let node = self.memo.get(&key).copied();
        self.push_ref(node.ok_or(Stop("a missing value is recalled"))?)
    }

    fn set_items(&mut self, items: Vec<Ref>) -> Step<()> {
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::Dict(entries) if items.len().is_multiple_of(2) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            Node::Refused => Ok(()),
            _ => Err(Stop("items are set on something other than a dict")),
        }
    }

    fn append(&mut self, items: &[Ref]) -> Step<()> {
        let target = self.top()?;
        match &mut self.nodes[target as usize] {
            Node::List(list) => {
                list.extend_from_slice(items);
                Ok(())
            }
            Node::Refused => Ok(()),
            _ => Err(Stop("items are appended to something other than a list")),
        }
    }
}
