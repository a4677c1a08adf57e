//! Calls in a pickle: names, storages and tensors.

use super::super::value::{Global, Node, Ref, Storage, StoredTensor};
use super::{MAX_NAME, Machine, Step, Stop};

/// Most dimensions of a tensor, and arguments of a call. Tuples can be shared, so traversing a long
/// one at every use would cost too much.
const MAX_TUPLE: usize = 16;
/// Longest key of a storage; torch uses numbers.
const MAX_KEY: usize = 32;
/// Most refused names collected.
const MAX_REFUSED: usize = 16;

impl<'a> Machine<'a> {
    pub(super) fn global(&mut self, module: &str, name: &str) -> Step<()> {
        match Global::named(module, name) {
            Some(global) => self.push(Node::Global(global)),
            None => {
                if self.refused.len() < MAX_REFUSED {
                    let name = format!("{module}.{name}");
                    self.refused.insert(name.escape_debug().to_string());
                }
                self.push(Node::Refused)
            }
        }
    }

    pub(super) fn stack_global(&mut self) -> Step<()> {
        let (name, module) = (self.pop()?, self.pop()?);
        match (self.node(module), self.node(name)) {
            (&Node::Str(module), &Node::Str(name))
                if module.len() <= MAX_NAME && name.len() <= MAX_NAME =>
            {
                self.global(module, name)
            }
            _ => Err(Stop("a name that is not a short string")),
        }
    }

    /// Refuses an object made without a call; tensors and dicts never are.
    pub(super) fn refuse_call(&mut self) -> Step<()> {
        let class = self.pop()?;
        match self.node(class) {
            Node::Refused => self.push(Node::Refused),
            _ => Err(Stop("an unsupported object is created")),
        }
    }

    pub(super) fn reduce(&mut self) -> Step<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Some(items) = self.short_tuple(arguments) else {
            return Err(Stop("a call without a short tuple of arguments"));
        };
        let refused = |&item: &Ref| matches!(self.node(item), Node::Refused);
        match self.node(callee) {
            Node::Refused => self.push(Node::Refused),
            Node::Global(_) if items.iter().any(refused) => self.push(Node::Refused),
            Node::Global(Global::OrderedDict) if items.is_empty() => {
                self.push(Node::Dict(Vec::new()))
            }
            Node::Global(Global::RebuildTensor) => {
                let tensor = self.tensor(items)?;
                self.push(Node::Tensor(tensor))
            }
            // The other arguments are the trainable flag and attributes.
            Node::Global(Global::RebuildParameter) => match items[..] {
                [data, _, _] | [data, _, _, _] if matches!(self.node(data), Node::Tensor(_)) => {
                    self.push_ref(data)
                }
                _ => Err(Stop("a parameter that is not a tensor")),
            },
            _ => Err(Stop("a call with wrong arguments")),
        }
    }

    /// Reads `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])`.
    fn tensor(&self, arguments: &[Ref]) -> Step<StoredTensor<'a>> {
        let [storage, offset, shape, strides, rest @ ..] = arguments else {
            return Err(Stop("a tensor with too few arguments"));
        };
        // Metadata marks values as negated or conjugated; the stored numbers then differ from the
        // values.
        match rest {
            [_, _] => {}
            [_, _, metadata] => match self.node(*metadata) {
                Node::None => {}
                Node::Dict(entries) if entries.is_empty() => {}
                _ => return Err(Stop("a tensor with metadata, such as a negated view")),
            },
            _ => return Err(Stop("a tensor with a wrong number of arguments")),
        }
        let &Node::Storage(storage) = self.node(*storage) else {
            return Err(Stop("a tensor without a storage"));
        };
        let tensor = StoredTensor {
            storage,
            offset: self.count(*offset)?,
            shape: self.counts(*shape)?,
            strides: self.counts(*strides)?,
        };
        match tensor.shape.len() == tensor.strides.len() {
            true => Ok(tensor),
            false => Err(Stop("a tensor whose strides do not match its shape")),
        }
    }

    fn short_tuple(&self, node: Ref) -> Option<&[Ref]> {
        match self.node(node) {
            Node::Tuple(items) if items.len() <= MAX_TUPLE => Some(items),
            _ => None,
        }
    }

    fn count(&self, node: Ref) -> Step<u64> {
        match *self.node(node) {
            Node::Int(value) => u64::try_from(value).map_err(|_| Stop("a negative size")),
            _ => Err(Stop("a size that is not an integer")),
        }
    }

    fn counts(&self, node: Ref) -> Step<Vec<u64>> {
        match self.short_tuple(node) {
            Some(items) => items.iter().map(|&item| self.count(item)).collect(),
            None => Err(Stop("a shape that is not a short tuple")),
        }
    }

    /// Ignores attributes, which a dict may have (`_metadata` of a state_dict) and which are not
    /// data.
    pub(super) fn build(&mut self) -> Step<()> {
        self.pop()?;
        let target = self.top()?;
        match self.node(target) {
            Node::Dict(_) | Node::Refused => Ok(()),
            _ => Err(Stop("attributes are set on something other than a dict")),
        }
    }

    /// Reads `('storage', class, key, location, elements)`.
    pub(super) fn storage(&mut self) -> Step<()> {
        let id = self.pop()?;
        let not_one = Stop("a reference that is not a storage");
        let Some(&[tag, class, key, _, elements]) = self.short_tuple(id) else {
            return Err(not_one);
        };
        let node = match (self.node(tag), self.node(class), self.node(key)) {
            (_, Node::Refused, _) => Node::Refused,
            (Node::Str("storage"), &Node::Global(Global::Storage(dtype)), &Node::Str(key))
                if key.len() <= MAX_KEY =>
            {
                Node::Storage(Storage {
                    dtype,
                    key,
                    elements: self.count(elements)?,
                })
            }
            _ => return Err(not_one),
        };
        self.push(node)
    }
}
