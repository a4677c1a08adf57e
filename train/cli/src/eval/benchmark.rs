//! Names of the benchmarks.

use super::grade::Benchmark;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

impl Benchmark {
    /// `gsm8k` or `math`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gsm8k => "gsm8k",
            Self::Math => "math",
        }
    }

    /// How its solutions mark their answer.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Gsm8k => "#### 72",
            Self::Math => "\\boxed{72}",
        }
    }
}

impl Serialize for Benchmark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Benchmark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let all = [Self::Gsm8k, Self::Math];
        all.into_iter()
            .find(|benchmark| benchmark.name() == name)
            .ok_or_else(|| serde::de::Error::custom(format!("'{name}' is neither gsm8k nor math")))
    }
}
