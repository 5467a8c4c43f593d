//! Times this workspace's collection: one question a file, one JSON line a repetition.
//!
//! `README.md` says what each question measures; `compare.py` runs them against other loaders.

mod ceiling;
mod checksum;
mod csc;
mod get_batch;
mod items;
mod kills;
mod memory;
mod open;
mod order;
mod pack;
mod repeat;
mod soak;
mod stream;
mod tall;
mod task;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::repeat::Repeat;
use crate::task::Source;

type Failure = Box<dyn std::error::Error>;

#[derive(Debug, Parser)]
#[command(about = "Times the collection: one JSON line a repetition")]
struct Command {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// How many rows a second does `get` give, one call a row?
    Items {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: items::Options,
    },
    /// How many rows a second does `get_batch` give for rows at random?
    GetBatch {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: get_batch::Options,
    },
    /// How many rows a second does an epoch of batches give?
    Stream {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: stream::Options,
    },
    /// How long does opening take, and how much memory is held afterwards?
    Open {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        repeat: Repeat,
    },
    /// How long does it take to make the order of an exact shuffle of very many rows?
    Order {
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: order::Options,
    },
    /// How long does a matrix stored by column take until it can be read by row?
    Csc {
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: csc::Options,
    },
    /// How small are packed rows, and how fast are they packed and read?
    Pack {
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: pack::Options,
    },
    /// How long do epochs take over chunks that run along the cells?
    Tall {
        #[command(flatten)]
        repeat: Repeat,
        #[command(flatten)]
        options: tall::Options,
    },
    /// Do epochs with random options, for as long as one likes, have all rows and no more memory?
    Soak {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        options: soak::Options,
    },
    /// Is a cache right, and within its size, if the processes that fill it are killed?
    Kills {
        #[command(flatten)]
        source: Source,
        #[command(flatten)]
        options: kills::Options,
    },
    /// What do the last steps of any dense loader cost: zeroing a row and scattering into it?
    Ceiling {
        #[command(flatten)]
        repeat: Repeat,
    },
}

fn main() -> ExitCode {
    let result = match Command::parse().question {
        Question::Items {
            source,
            repeat,
            options,
        } => items::run(&source, &repeat, &options),
        Question::GetBatch {
            source,
            repeat,
            options,
        } => get_batch::run(&source, &repeat, &options),
        Question::Stream {
            source,
            repeat,
            options,
        } => stream::run(&source, &repeat, &options),
        Question::Open { source, repeat } => open::run(&source, &repeat),
        Question::Order { repeat, options } => order::run(&repeat, &options),
        Question::Csc { repeat, options } => csc::run(&repeat, &options),
        Question::Pack { repeat, options } => pack::run(&repeat, &options),
        Question::Tall { repeat, options } => tall::run(&repeat, &options),
        Question::Soak { source, options } => soak::run(&source, &options),
        Question::Kills { source, options } => kills::run(&source, &options),
        Question::Ceiling { repeat } => ceiling::run(&repeat),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
