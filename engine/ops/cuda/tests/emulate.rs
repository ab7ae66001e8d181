//! Runs the source of a kernel as C: what a GPU would compute, but for the last bit of `expf`.

use super::super::{Input, Launch};
use candle_core::DType;
use half::f16;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The result of a launch whose inputs lie on the CPU.
pub(super) fn run(launch: &Launch) -> Vec<f32> {
    let (main, input) = program(launch);
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("kernel.c"), dir.path().join("kernel"));
    std::fs::write(&source, [include_str!("emulate.c"), launch.kernel.source, &main].concat())
        .unwrap();
    let done = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas"])
        .args(["-Wno-unused-function", "-Werror"])
        .args(launch.variant.defines().map(|define| format!("-D{define}")))
        .arg("-o")
        .args([&program, &source])
        .arg("-lm")
        .output()
        .expect("the C compiler that links Rust");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it was just made");
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", out.status);
    let values = out.stdout.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let values: Vec<f32> = values.collect();
    let (forwards, backwards) = values.split_at(launch.shape.elem_count());
    assert_eq!(bits(forwards), bits(backwards), "the order of threads matters");
    forwards.to_vec()
}

pub(super) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The rest of the C file, and what it reads.
fn program(launch: &Launch) -> (String, Vec<u8>) {
    let (mut inputs, mut names, mut values) = (String::new(), String::new(), Vec::new());
    let mut read = String::new();
    for (at, input) in launch.inputs.iter().enumerate() {
        let _ = write!(names, "a{at}, ");
        let (kind, count) = match input {
            Input::Number(number) => {
                let _ = writeln!(inputs, "static unsigned a{at} = {number};");
                continue;
            }
            Input::Tensor(tensor) if tensor.dtype() == DType::U32 => {
                let index = tensor.flatten_all().unwrap().to_vec1::<u32>().unwrap();
                values.extend(index.iter().flat_map(|value| value.to_le_bytes()));
                ("unsigned", index.len())
            }
            Input::Tensor(tensor) if tensor.dtype() == DType::F16 => {
                let halves = tensor.flatten_all().unwrap().to_vec1::<f16>().unwrap();
                values.extend(halves.iter().flat_map(|value| value.to_le_bytes()));
                ("number", halves.len())
            }
            Input::Tensor(tensor) => {
                let floats = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.extend(floats.iter().flat_map(|value| value.to_le_bytes()));
                ("float", floats.len())
            }
        };
        let _ = writeln!(inputs, "static {kind}* a{at};");
        let _ = writeln!(read, "  a{at} = input(sizeof(*a{at}), {count});");
    }
    let (count, name) = (launch.shape.elem_count(), launch.kernel.name);
    let (result, read_result) =
        if launch.dtype == DType::F16 { ("number", "wide(out[at])") } else { ("float", "out[at]") };
    let ([x, y, z], [width, height]) = (launch.grid, launch.kernel.block);
    let text = format!(
        "{inputs}static {result} out[{count}];
static void body(void) {{ {name}({names}out); }}
int main(void) {{
{read}  for (int backwards = 0; backwards < 2; backwards++) {{
    // Not a number, of either type.
    memset(out, 255, sizeof out);
    run({width}, {height}, {x}, {y}, {z}, backwards);
    for (unsigned at = 0; at < {count}; at++) {{
      const float value = {read_result};
      fwrite(&value, 4, 1, stdout);
    }}
  }}
  return 0;
}}
"
    );
    (text, values)
}
