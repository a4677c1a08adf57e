//! A flag for every setting, generated from the table.
//!
//! `-h` lists the most used flags, `--help` every flag. docs/settings.md has the details of each setting.

use bone_train::config::{Row, SETTINGS};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// The given flags, as key and value. They cover every setting, or with `STEP` only those of a step.
#[derive(Debug, Clone, Default)]
pub struct Flags<const STEP: bool = false>(pub Vec<(String, String)>);

/// The settings that `-h` lists.
const MOST_USED: [&str; 12] = [
    "model",
    "data",
    "out",
    "template",
    "max_seq_len",
    "method",
    "rank",
    "epochs",
    "batch_size",
    "learning_rate",
    "device",
    "dtype",
];

impl<const STEP: bool> Flags<STEP> {
    fn rows() -> impl Iterator<Item = &'static Row> {
        let is_of_a_step = |row: &&Row| match row.group {
            // The random model has its own `--layers`.
            "Method" => !["adapter", "layers"].contains(&row.name),
            "Memory and device" => true,
            _ => ["batch_size", "max_seq_len"].contains(&row.name),
        };
        SETTINGS
            .iter()
            .filter(move |row| !STEP || is_of_a_step(row))
    }
}

impl<const STEP: bool> FromArgMatches for Flags<STEP> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Self::rows().filter_map(|row| {
            let value = matches.get_one::<String>(row.name)?;
            Some((row.name.to_owned(), value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const STEP: bool> Args for Flags<STEP> {
    fn augment_args(command: Command) -> Command {
        let short = |row: &Row| STEP || MOST_USED.contains(&row.name);
        command.args(Self::rows().map(|row| flag(row).hide_short_help(!short(row))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(row: &Row) -> Arg {
    let mut flag = Arg::new(row.name)
        .long(row.flag())
        .value_name(row.value_name.trim_matches(['[', ']']))
        .help_heading(row.group)
        .help(row.help().0)
        .allow_negative_numbers(true);
    if row.is_switch() {
        flag = flag.num_args(0..=1).require_equals(true);
        flag = flag.default_missing_value("true");
    }
    flag
}

#[cfg(test)]
mod settings_page;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{TrainArgs, full_help};
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Train {
        #[command(flatten)]
        args: TrainArgs,
    }

    #[test]
    fn train_help_lists_every_setting() {
        Train::command().debug_assert();
        let help = full_help().render_help().to_string();
        for row in SETTINGS {
            let flag = format!("--{}", row.flag());
            assert!(help.contains(&flag), "{flag}");
            assert!(help.contains(&format!("{}:", row.group)));
        }
        let short = Train::command().render_help().to_string();
        for name in MOST_USED {
            assert!(
                short.contains(&format!("--{} <", name.replace('_', "-"))),
                "{name}"
            );
        }
        // A screen and two screens of 40 lines.
        let lines = |help: &str| help.lines().count();
        assert!(lines(&short) <= 40, "{short}");
        assert!(lines(&help) <= 90, "{help}");
        for line in [
            "--overwrite[=<BOOL>]",
            "[default: 512]",
            "[default: 1e-8]",
            "[default: all-linear]",
        ] {
            assert!(help.contains(line), "no {line:?} in\n{help}");
        }
    }

    #[test]
    fn switch_does_not_consume_next_argument() {
        let parse = |args: &[&str]| Train::parse_from([&["train"], args].concat()).args;
        let args = parse(&["--overwrite", "run.toml", "--keep-best=false"]);
        assert_eq!(args.run.unwrap().to_str(), Some("run.toml"));
        let given = [("overwrite", "true"), ("keep_best", "false")];
        assert_eq!(
            args.flags.0,
            given.map(|(key, value)| (key.into(), value.into()))
        );
    }
}
