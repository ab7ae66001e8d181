//! The report as a page: one file, nothing fetched from elsewhere.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figures::{BASE, Row};
use super::film;
use super::plot::Plot;
use super::report::{Report, SCHEDULE};
use super::trial::{Split, Task};
use super::unit::Key;

/// Light or dark as the reader has it.
const STYLE: &str = ":root{color-scheme:light dark;--line:#8884;--soft:#8881}\
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}\
h1{margin-bottom:0}h2{margin-top:2.5rem}\
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\
th:first-child,td:first-child,.words{text-align:left}\
tr.best td{background:var(--soft);font-weight:600}\
.wide{overflow-x:auto}figure{margin:1rem 0}figcaption{font-size:13px;opacity:.8}\
.films{display:grid;grid-template-columns:max-content 1fr;gap:.3rem .8rem;align-items:center;font-size:13px}\
.films img{max-width:100%}\
svg{max-width:100%;height:auto}details{margin:.8rem 0}";

/// The page; filmstrips are taken from the folder of the run.
pub(super) fn render(report: &Report, plots: &[Plot], out: &Path) -> String {
    let header = &report.header;
    let [width, height] = header.size;
    let tasks = Task::ALL.into_iter().filter(|&task| report.rows(task).next().is_some());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Packing: " (header.world) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (header.world) ": what history is worth, and how it is picked" }
                p {
                    (width) "×" (height) " at " (header.fps) " frames/s, " (header.evaluations)
                    " evaluations a section, " (header.episodes.len()) " episodes"
                    @if let Some(schedule) = report.one_schedule() { "; packed by " code { (schedule) } }
                    "; weights "
                    code { (header.weights.chars().take(12).collect::<String>()) } "."
                }
                (reading(report))
                @for task in tasks {
                    h2 { (task.title()) }
                    p { (explained(task, report)) }
                    div.wide { (table(report, task)) }
                    (films(report, task, out))
                    (episodes(report, task))
                }
                @if !plots.is_empty() {
                    h2 { "Plots" }
                    @for plot in plots {
                        figure { figcaption { (plot.title) } (PreEscaped(&plot.svg)) }
                    }
                }
                (weights(report))
                (limits())
            }
        }
    };
    page.into_string()
}

fn reading(report: &Report) -> Markup {
    html! {
        p {
            "Every arm dreams the same walks with the same noise, so differences are taken in pairs: "
            "“over time” is the gain over released FramePack order, with the middle 95 % of a bootstrap that draws "
            "whole episodes; of two or three episodes it says little. Shaded is the highest PSNR that can be played. "
            "Recall at k: of the sections for which a remembered frame outside the recent window "
            "shows the coming view (two steps of walking, ten degrees), the share with such a frame among the first "
            "k that were picked. Milliseconds are processor time of one core, which other work does not lengthen "
            "much; KV hits leave out the first section of a walk, for which nothing can be there."
        }
        @if report.figures.rows.iter().all(|row| row.recall[0].is_none()) {
            p { "No recall is given: these episodes have no poses, or nothing came back." }
        }
        p {
            "Arms: " b { "none" } " the newest frame alone; " b { "time" } " the latest frames; " b { "random" }
            ", " b { "pose" } " (greedy cover of the coming view, from recorded poses), " b { "features" } " and "
            b { "oracle" } " fill the retrieved slots of the default rules; " b { "cosine" } " (eq. 3), "
            b { "pooled" } " and " b { "hybrid@λ" } " (eq. 3-5) permute all history as the paper does; "
            b { "+rules" } " behind a name has it the other way; " b { "reckoned" } " is how the world plays: likeness, "
            "time and nearness of the places that the actions led to. The oracle picks the frames whose latents are nearest to the "
            "true section's: it sees the future, and bounds picking by likeness only, not what can be dreamed."
        }
    }
}

fn explained(task: Task, report: &Report) -> String {
    let header = &report.header;
    match task {
        Task::Next => "One section after up to 256 real frames.".to_owned(),
        Task::Rollout => {
            format!("{} frames after up to 256 real ones; each is scored.", header.rollout_frames)
        }
        Task::Revisit => format!(
            "{} frames dreamed on the way back. Scored where the recording shows again what it showed at least {} frames before, and nothing like it in between within the last 32. Only what was really seen is retrieved.",
            header.back_frames, header.gap
        ),
        Task::Turn => "A full turn at half the fastest rate; its last frame is scored against the one it began from, which the oracle takes for the truth all along.".to_owned(),
    }
}

fn table(report: &Report, task: Task) -> Markup {
    let columns = report.columns(task);
    // The oracle cannot be played, so it does not win.
    let playable = report.rows(task).filter(|row| !row.arm.starts_with("oracle"));
    let best = playable.max_by(|a, b| a.psnr.total_cmp(&b.psnr));
    let is_best = |row: &Row| {
        best.is_some_and(|best| (&best.arm, &best.schedule) == (&row.arm, &row.schedule))
    };
    html! {
        table {
            tr { @for (name, _) in &columns { th.words[*name == SCHEDULE] { (name) } } }
            @for row in report.rows(task) {
                tr.best[is_best(row)] {
                    @for (name, cell) in &columns { td.words[*name == SCHEDULE] { (cell(row)) } }
                }
            }
        }
    }
}

/// What the game showed above what the arms dreamed, of one walk.
fn films(report: &Report, task: Task, out: &Path) -> Markup {
    let of_task = |key: &&Key| key.task == task && key.split == Split::Test && key.seed == 0;
    let keys: Vec<&Key> = report.units.iter().map(|unit| &unit.key).filter(of_task).collect();
    let place = |arm: &str| report.rows(task).position(|row| row.arm == arm);
    let mut strips: Vec<(&Key, String)> = keys
        .into_iter()
        .filter_map(|key| Some((key, picture(&film::path_of(out, key))?)))
        .collect();
    strips.sort_by_key(|(key, _)| (place(&key.arm), &key.schedule));
    let truth = strips.first().and_then(|(key, _)| picture(&film::truth_path(out, key)));
    let Some((first, _)) = strips.first() else { return html! {} };
    let schedules = strips.iter().any(|(key, _)| key.schedule != first.schedule);
    html! {
        figure {
            figcaption {
                (first.episode) " after frame " (first.cut) "; grey is not known"
            }
            div.films {
                @if let Some(truth) = truth { span { "game" } img src=(truth) alt="game"; }
                @for (key, strip) in &strips {
                    span { (key.arm) @if schedules { " " (key.schedule) } }
                    img src=(strip) alt=(key.arm);
                }
            }
        }
    }
}

fn picture(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}

fn episodes(report: &Report, task: Task) -> Markup {
    let rows: Vec<&Row> = report.rows(task).collect();
    let mut names: Vec<&String> = rows.iter().flat_map(|row| row.by_episode.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let seeds = rows.iter().any(|row| !row.seeds.is_empty());
    html! {
        details {
            summary { "Episode by episode: PSNR in dB" @if seeds { "; seed by seed" } }
            div.wide {
                table {
                    tr {
                        th { "history by" } th.words { (SCHEDULE) }
                        @for name in &names { th { (name) } }
                        @for seed in rows.iter().flat_map(|row| row.seeds.keys()).take(rows.first().map_or(0, |row| row.seeds.len())) { th { "seed " (seed) } }
                    }
                    @for row in &rows {
                        tr {
                            td { (row.arm) } td.words { (row.schedule) }
                            @for name in &names {
                                td { @if let Some(psnr) = row.by_episode.get(*name) { (format!("{psnr:.2}")) } }
                            }
                            @for psnr in row.seeds.values() { td { (format!("{psnr:.2}")) } }
                        }
                    }
                }
            }
        }
    }
}

fn weights(report: &Report) -> Markup {
    if report.figures.weights.is_empty() {
        return html! {};
    }
    let tasks: Vec<Task> = Task::ALL
        .into_iter()
        .filter(|task| {
            report.figures.weights.iter().any(|weighed| weighed.tasks.contains_key(task))
        })
        .collect();
    html! {
        h2 { "Weight of nearness in time" }
        p { "On the validation split, whose walks are not in the tables above; the weight with the best mean over the tasks is the one that is reported." }
        table {
            tr { th { "history by" } th.words { (SCHEDULE) } @for task in &tasks { th { (task.to_string()) } } th { "mean, dB" } }
            @for weighed in &report.figures.weights {
                tr {
                    td { (weighed.arm) } td.words { (weighed.schedule) }
                    @for task in &tasks {
                        td { @if let Some(psnr) = weighed.tasks.get(task) { (format!("{psnr:.2}")) } }
                    }
                    td { (format!("{:.2}", weighed.psnr)) }
                }
            }
        }
    }
}

fn limits() -> Markup {
    html! {
        h2 { "What these figures do not show" }
        ul {
            li { "PSNR and SSIM reward a blurred mean over a sharp picture that is a little off; look at the filmstrips." }
            li { "The network was trained with the default rules. Permutations pack frames in ways it never saw, so that they lose here says little about a network trained with them." }
            li { "Intervals are over episodes of one game; with few episodes they are too narrow." }
            li { "“" (BASE) "” under another schedule than the world's own is compared with itself under that schedule." }
        }
    }
}
