//! A chart of how many times better our relay is than each of the others, on a logarithmic scale.

use std::fmt::Write;

use super::report::Report;
use super::server::Server;

const WIDTH: f64 = 860.0;
/// Where the bars start: what is left of it is for names.
const LEFT: f64 = 420.0;
const RIGHT: f64 = 60.0;
const ROW: f64 = 38.0;
const TOP: f64 = 64.0;
/// Ratios at the ends of the scale.
const LEAST: f64 = 0.5;
const MOST: f64 = 1_000.0;

/// Draws it as SVG.
pub fn draw(report: &Report) -> String {
    let mut rows = String::new();
    let mut y = TOP;
    for scenario in report.scenarios() {
        for (i, metric) in scenario.metrics.iter().enumerate() {
            if report.median(scenario, i, Server::Comity).is_none() {
                continue;
            }
            let title = if i == 0 { scenario.title } else { "" };
            let name = escape(&format!("{} ({})", metric.name, metric.unit));
            if i == 0 {
                let _ = writeln!(rows, r##"<text x="8" y="{}" class="title">{}</text>"##, y + 12.0, escape(title));
                y += 20.0;
            }
            let _ = writeln!(rows, r##"<text x="{}" y="{}" text-anchor="end">{name}</text>"##, LEFT - 10.0, y + 16.0);
            for (peer, class, down) in [(Server::Samod, "samod", 0.0), (Server::JavaScript, "js", 13.0)] {
                let at = y + down;
                match report.ratio(scenario, i, peer) {
                    // It was not run, or there is nothing to compare.
                    None if !report.has_run(scenario, peer) || report.median(scenario, i, peer).is_some() => {}
                    Some(ratio) => {
                        let (from, to) = (x(1.0), x(ratio));
                        let (start, length) = (from.min(to), (to - from).abs().max(1.0));
                        let _ = writeln!(
                            rows,
                            r##"<rect x="{start:.1}" y="{at}" width="{length:.1}" height="11" class="{class}"/>"##
                        );
                        let label = from.max(to) + 4.0;
                        let _ = writeln!(
                            rows,
                            r##"<text x="{label:.1}" y="{}" class="value">{ratio:.1} ×</text>"##,
                            at + 9.5
                        );
                    }
                    None => {
                        let (start, length) = (x(1.0), x(MOST) - x(1.0));
                        let _ = writeln!(
                            rows,
                            r##"<rect x="{start:.1}" y="{at}" width="{length:.1}" height="11" class="{class}" opacity="0.25"/>"##
                        );
                        let _ = writeln!(
                            rows,
                            r##"<text x="{:.1}" y="{}" class="value">does not finish</text>"##,
                            start + 4.0,
                            at + 9.5
                        );
                    }
                }
            }
            y += ROW;
        }
    }
    let mut grid = String::new();
    for ratio in [0.5, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0] {
        let (at, class) = (x(ratio), if ratio == 1.0 { "one" } else { "grid" });
        let _ = writeln!(grid, r##"<line x1="{at:.1}" y1="{}" x2="{at:.1}" y2="{y}" class="{class}"/>"##, TOP - 8.0);
        let _ = writeln!(
            grid,
            r##"<text x="{at:.1}" y="{}" text-anchor="middle" class="value">{ratio} ×</text>"##,
            TOP - 14.0
        );
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {}" font-family="sans-serif" font-size="12">
<style>.title{{font-weight:bold}}.value{{font-size:10px;fill:#444}}.samod{{fill:#c2571a}}.js{{fill:#2b6cb0}}.grid{{stroke:#ddd}}.one{{stroke:#333}}</style>
<rect width="100%" height="100%" fill="white"/>
<text x="8" y="20" class="title">How many times better Comity's relay is</text>
<rect x="{LEFT}" y="10" width="11" height="11" class="samod"/><text x="{}" y="20">than {}</text>
<rect x="{}" y="10" width="11" height="11" class="js"/><text x="{}" y="20">than {}</text>
{grid}{rows}</svg>
"##,
        y + 8.0,
        LEFT + 16.0,
        Server::Samod.title(),
        LEFT + 140.0,
        LEFT + 156.0,
        Server::JavaScript.title()
    )
}

/// Where a ratio lies on the scale.
fn x(ratio: f64) -> f64 {
    let part = (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    LEFT + part * (WIDTH - LEFT - RIGHT)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::Outcome;
    use crate::bench::scenarios;

    #[test]
    fn what_is_better_goes_right_and_what_does_not_finish_is_said() {
        let scenario = scenarios::ALL.iter().find(|scenario| scenario.name == "stampede").unwrap();
        let mut report = Report::new(1, String::new());
        let finished = |seconds| Outcome::Finished { values: vec![seconds], cpu_s: 0.0, most_bytes: 0 };
        report.add(scenario, Server::Comity, finished(0.5));
        report.add(scenario, Server::Samod, finished(5.0));
        report.add(scenario, Server::JavaScript, Outcome::Failed("why".to_owned()));
        let chart = draw(&report);
        assert!(chart.contains("10.0 ×") && chart.contains("does not finish"), "{chart}");
        let mut without_ours = Report::new(1, String::new());
        without_ours.add(scenario, Server::Samod, finished(5.0));
        assert!(!draw(&without_ours).contains("does not finish"), "nothing is said of whom nobody was compared with");
        assert!(x(10.0) > x(1.0) && x(0.1) == x(LEAST) && x(5_000.0) == x(MOST));
    }
}
