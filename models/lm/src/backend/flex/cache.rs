//! Writes keys and values into the room of a cache. burn-flex's own assignment keeps a reference to
//! its input while writing, and so copies all of it every time.

use burn::tensor::Element;
use burn_flex::FlexTensor;

/// Writes `rows` `[batch, heads, len, width]` into `buffer` `[batch, heads, room, width]` from
/// position `at` on, in place. It returns the buffer unchanged if it is shared or a view.
pub(super) fn write<E: Element + bytemuck::Pod>(
    mut buffer: FlexTensor,
    at: usize,
    rows: &FlexTensor,
) -> Result<FlexTensor, FlexTensor> {
    let _span = tracing::trace_span!("cache").entered();
    let layout = buffer.layout();
    let whole = layout.is_contiguous() && layout.start_offset() == 0;
    let room = layout.shape()[2];
    let rows = rows.to_contiguous();
    let [len, width] = [2, 3].map(|axis| rows.layout().shape()[axis]);
    let rows = rows.storage::<E>();
    match buffer.try_storage_mut::<E>() {
        Some(values) if whole && at + len <= room && !rows.is_empty() => {
            let heads = values.chunks_exact_mut(room * width);
            for (head, rows) in heads.zip(rows.chunks_exact(len * width)) {
                head[at * width..][..len * width].copy_from_slice(rows);
            }
            Ok(buffer)
        }
        _ => Err(buffer),
    }
}
