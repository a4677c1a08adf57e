//! What `bone bench train` found, as text and as JSON.

use super::Opened;
use super::train::BenchTrainArgs;
use crate::bench::{Floor, Measured};
use bone::{AdapterConfig, Variant};
use bone_train::config::AxisWord;
use bone_train::device::{Capabilities, DeviceName};
use bone_train::memory::human;
use serde_json::json;
use std::time::Duration;

/// What a benchmark found, and of what.
pub(super) struct Found {
    pub(super) args: BenchTrainArgs,
    pub(super) opened: Opened,
    pub(super) adapter: Option<AdapterConfig>,
    /// What the model's files take to be read.
    pub(super) read: Duration,
    pub(super) device: DeviceName,
    pub(super) description: String,
    pub(super) floor: Floor,
    pub(super) ready: Ready,
    pub(super) measured: Measured,
}

/// From an empty process to the first step.
pub(super) struct Ready {
    pub(super) trainable: usize,
    pub(super) load: Duration,
}

impl Found {
    /// The axis of bone's blocks.
    fn axis(&self) -> Option<String> {
        match self.adapter.as_ref()?.variant {
            Variant::Bone(axis) => Some(AxisWord::from(axis).to_string()),
            _ => None,
        }
    }

    fn mini_width(&self) -> Option<usize> {
        match self.adapter.as_ref()?.variant {
            Variant::MissMini { width } => Some(width),
            _ => None,
        }
    }

    /// `bone on the output axis of rank 64`.
    fn method(&self) -> String {
        let mut text = self.args.method.to_string();
        if let Some(axis) = self.axis() {
            text += &format!(" on the {axis} axis");
        }
        if let Some(adapter) = &self.adapter {
            text += &format!(" of rank {}", adapter.rank);
        }
        if let Some(width) = self.mini_width() {
            text += &format!(" and width {width}");
        }
        if self.args.dropout != 0.0 {
            text += &format!(" with dropout {}", self.args.dropout);
        }
        text
    }

    fn tokens_per_second(&self) -> f64 {
        (self.args.batch_size * self.args.max_seq_len) as f64 / self.measured.timing.median
    }

    /// Seconds that the step's products alone take at the rate measured.
    fn floor_seconds(&self) -> f64 {
        self.floor.total() / self.measured.product_rate
    }

    /// Seconds that the products' inputs, weights and outputs take to be read and written at the rate
    /// measured.
    fn copy_floor_seconds(&self) -> f64 {
        self.floor.bytes / self.measured.copy_rate
    }

    pub(super) fn to_json(&self) -> String {
        let Measured {
            timing,
            peak_resident_bytes,
            loss,
            apart,
            device_memory,
            product_rate,
            product_dtype,
            copy_rate,
        } = &self.measured;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let shares: serde_json::Map<_, _> = apart
            .shares
            .iter()
            .map(|share| (share.part.to_string(), json!(share.time.as_secs_f64())))
            .collect();
        json!({
            "seconds_per_step": timing.median,
            "fastest": timing.fastest,
            "slowest": timing.slowest,
            "tokens_per_second": self.tokens_per_second(),
            "peak_resident_mb": megabytes(*peak_resident_bytes),
            "device_reserved_mb": device_memory.map(|memory| megabytes(memory.reserved)),
            "device_parts_mb": apart.device_bytes.map(megabytes),
            "device_in_use_mb": device_memory.map(|memory| megabytes(memory.in_use)),
            "loss": loss,
            "model": self.opened.to_json(),
            "device": self.device.to_string(),
            "threads": rayon::current_num_threads(),
            "method": self.args.method.to_string(),
            "block_axis": self.axis(),
            "rank": self.adapter.as_ref().map(|adapter| adapter.rank),
            "mini_width": self.mini_width(),
            "dropout": self.args.dropout,
            "batch_size": self.args.batch_size,
            "max_seq_len": self.args.max_seq_len,
            "recompute": self.args.recompute,
            "head_chunk": self.args.head_chunk,
            "warmup": self.args.warmup,
            "steps": self.args.steps,
            "trained_parameters": self.ready.trainable,
            "ready_seconds": self.ready.load.as_secs_f64(),
            "read_seconds": self.read.as_secs_f64(),
            "floor_gflop": self.floor.total() / 1e9,
            "product_gflops": product_rate / 1e9,
            "product_dtype": Capabilities::names(&[*product_dtype]),
            "floor_seconds": self.floor_seconds(),
            "floor_gb": self.floor.bytes / 1e9,
            "copy_gb_per_second": copy_rate / 1e9,
            "copy_floor_seconds": self.copy_floor_seconds(),
            "taken_apart_seconds": apart.whole.as_secs_f64(),
            "parts": shares,
        })
        .to_string()
    }

    pub(super) fn print(&self) {
        let args = &self.args;
        let timing = self.measured.timing;
        line!("{}, {}", self.opened.describe(), self.method());
        line!(
            "{} × {} tokens, block recompute {}, head {}, on {} ({})",
            args.batch_size,
            args.max_seq_len,
            if args.recompute { "on" } else { "off" },
            match args.head_chunk {
                0 => "whole".to_owned(),
                chunk => format!("by {chunk}"),
            },
            self.device,
            self.description
        );
        line!(
            "\nstep       {:.3} s (median of {}; {:.3} to {:.3})",
            timing.median,
            args.steps,
            timing.fastest,
            timing.slowest
        );
        line!("tokens/s   {:.1}", self.tokens_per_second());
        line!(
            "memory     {} at most",
            human(self.measured.peak_resident_bytes)
        );
        if let Some(memory) = self.measured.device_memory {
            line!(
                "on device  {} reserved; at most {} in use between parts, {} between steps",
                human(memory.reserved),
                human(self.measured.apart.device_bytes.unwrap_or_default()),
                human(memory.in_use)
            );
        }
        line!(
            "loading    {:.3} s, {} of weights, whose files take {:.3} s to read",
            self.ready.load.as_secs_f64(),
            human(self.opened.info.stored_bytes as u64),
            self.read.as_secs_f64()
        );
        line!(
            "floor      {:.3} s: products of {} GFLOP at {} GFLOP/s, the rate of one in {} measured here; \
             the step is at {:.0} % of it",
            self.floor_seconds(),
            giga(self.floor.total()),
            giga(self.measured.product_rate),
            Capabilities::names(&[self.measured.product_dtype]),
            100.0 * self.floor_seconds() / timing.median
        );
        line!(
            "           {:.3} s: {} GB that they read and write at {} GB/s, the rate of a copy measured here",
            self.copy_floor_seconds(),
            giga(self.floor.bytes),
            giga(self.measured.copy_rate)
        );
        line!("\n{}", self.measured.apart.table(self.device.kind));
    }
}

/// A count in thousands of millions, with decimals where it is few.
fn giga(count: f64) -> String {
    let giga = count / 1e9;
    match giga < 10.0 {
        true => format!("{giga:.3}"),
        false => format!("{giga:.0}"),
    }
}
