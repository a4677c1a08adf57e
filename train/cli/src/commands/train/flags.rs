//! A flag for every setting, generated from the table.

use bone_train::config::{Row, SETTINGS};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// The given flags, as key and value. They cover every setting, or with `STEP` only those of a step.
#[derive(Debug, Clone, Default)]
pub struct Flags<const STEP: bool = false>(pub Vec<(String, String)>);

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
        command.args(Self::rows().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(row: &Row) -> Arg {
    let (line, more) = row.help();
    let mut flag = Arg::new(row.name)
        .long(row.flag())
        .value_name(row.value_name.trim_matches(['[', ']']))
        .help_heading(row.group)
        .help(line.clone())
        .allow_negative_numbers(true);
    if let Some(more) = more {
        flag = flag.long_help(format!("{line}\n\n{more}"));
    }
    if row.is_switch() {
        flag = flag.num_args(0..=1).require_equals(true);
        flag = flag.default_missing_value("true");
    }
    flag
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::TrainArgs;
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Train {
        #[command(flatten)]
        args: TrainArgs,
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Train::command().debug_assert();
        let help = Train::command().render_long_help().to_string();
        for row in SETTINGS {
            let flag = format!("--{} <", row.flag());
            assert!(help.contains(&flag) || row.is_switch(), "{flag}");
            assert!(help.contains(&format!("{}:", row.group)));
        }
        for line in [
            "--overwrite[=<BOOL>]",
            "Longest sequence in tokens [default: 512]",
            "Seed of the order of rows, the held-out rows, dropout and random weights [default: 42]",
            "AdamW's epsilon [default: 1e-8]",
            "one regular expression [default: all-linear]",
            "Highest learning rate [default: 2e-5, with full 1e-5, with state 1e-2]",
        ] {
            assert!(help.contains(line), "no {line:?} in\n{help}");
        }
    }

    #[test]
    fn a_switch_does_not_take_the_file_for_its_value() {
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
