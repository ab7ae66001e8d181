use super::*;
use candle_core::DType;
use std::collections::HashMap;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/codec_tiny.safetensors");

/// Both sum in f32, in another order.
const TOLERANCE: f32 = 1e-4;

fn golden() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(GOLDEN, &Device::Cpu).unwrap()
}

fn codec(precision: Precision, tensors: &HashMap<String, Tensor>) -> Codec {
    let vb = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
    Codec::new(&CodecConfig { precision, ..CodecConfig::tiny() }, &vb).unwrap()
}

fn farthest(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

/// RGB bytes of the golden pictures with their height and width.
fn frames(golden: &HashMap<String, Tensor>) -> (Vec<u8>, usize, usize) {
    let (_, height, width, _) = golden["frames"].dims4().unwrap();
    (golden["frames"].flatten_all().unwrap().to_vec1().unwrap(), height, width)
}

#[test]
fn agrees_with_the_pytorch_module() {
    let golden = golden();
    let codec = codec(Precision::F32, &golden);
    let (frames, height, width) = frames(&golden);
    let latents = codec.encode(&frames, height, width).unwrap();
    let apart = farthest(&latents, &golden["latents"]);
    assert!(apart < TOLERANCE, "latents are off by {apart}");

    let raw = golden["raw"].permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let apart = farthest(&codec.painter.decoder().forward(&raw).unwrap(), &golden["pictures"]);
    assert!(apart < TOLERANCE, "pictures are off by {apart}");

    let decoded = codec.decode(&golden["latents"]).unwrap();
    let want = painter::bytes(&golden["pictures"]).unwrap();
    // A value next to a half may round the other way.
    assert!(decoded.iter().zip(&want).all(|(a, b)| a.abs_diff(*b) <= 1));
    assert_eq!(decoded.len(), want.len());
}

#[test]
fn int16_stays_near_and_freezing_changes_no_bit() {
    let golden = golden();
    let mut codec = codec(Precision::Int16, &golden);
    let (frames, height, width) = frames(&golden);
    let run = |codec: &Codec| {
        let latents = codec.encode(&frames, height, width).unwrap();
        (latents.flatten_all().unwrap().to_vec1::<f32>().unwrap(), codec.decode(&latents).unwrap())
    };
    let plain = run(&codec);
    codec.freeze().unwrap();
    assert!(plain == run(&codec), "freezing changes the result");
    // Ten products with operands of 11 bits or more, on latents of unit variance.
    let latents = codec.encode(&frames, height, width).unwrap();
    let apart = farthest(&latents, &golden["latents"]);
    assert!(apart < 0.01, "latents are off by {apart}");
}

#[test]
fn convolutions_of_16_bit_floats_stay_near() {
    let golden = golden();
    let plain = codec(Precision::F32, &golden);
    let mut halved = plain.clone();
    halved.painter.halve().unwrap();
    let [want, got] = [&plain, &halved].map(|codec| codec.decode(&golden["latents"]).unwrap());
    let squares = want.iter().zip(&got).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    let error = squares.sum::<f64>() / want.len() as f64;
    // Values below 4 rounded to 11 bits after each of ten steps: some 0.2 of 255.
    assert!(error > 0.0 && error.sqrt() < 0.5, "off by {} of 255", error.sqrt());
}

#[test]
fn many_pictures_are_coded_like_one() {
    let golden = golden();
    let codec = codec(Precision::F32, &golden);
    let (frames, height, width) = frames(&golden);
    let picture = &frames[..height * width * 3];
    let one = codec.encode(picture, height, width).unwrap();
    let count = AT_ONCE + 1;
    let many = codec.encode(&picture.repeat(count), height, width).unwrap();
    assert_eq!(many.dim(0).unwrap(), count);
    for at in 0..count {
        assert!(farthest(&many.narrow(0, at, 1).unwrap(), &one) < TOLERANCE);
    }
    assert_eq!(codec.decode(&many).unwrap().len(), count * picture.len());
}

#[test]
fn refuses_what_does_not_fit() {
    let mut tensors = golden();
    let codec = codec(Precision::F32, &tensors);
    let message = |result: Result<Tensor>| result.unwrap_err().to_string();
    assert!(message(codec.encode(&[0; 300], 10, 10)).contains("multiples of 8, got 10x10"));
    assert!(message(codec.encode(&[0; 8 * 8 * 3 + 1], 8, 8)).contains("got 193 bytes"));
    assert!(message(codec.encode(&[], 8, 8)).contains("got 0 bytes"));
    assert!(message(codec.encode(&[0; 3], usize::MAX - 7, 8)).contains("multiples of 8"));
    let wrong = Tensor::zeros((1, 5, 2, 2), DType::F32, &Device::Cpu).unwrap();
    assert!(codec.decode(&wrong).unwrap_err().to_string().contains("4 channels, got 5"));
    // Two equal axes, and one that is no number.
    let flat = Tensor::ones((4, 4), DType::F32, &Device::Cpu).unwrap();
    let broken = Tensor::full(f32::NAN, (4, 4), &Device::Cpu).unwrap();
    for matrix in [flat, broken] {
        tensors.insert("normalize.matrix".to_owned(), matrix);
        let vb = VarBuilder::from_tensors(tensors.clone(), DType::F32, &Device::Cpu);
        let error = Codec::new(&CodecConfig::tiny(), &vb).unwrap_err().to_string();
        assert!(error.contains("normalize.matrix"), "{error}");
    }
}
