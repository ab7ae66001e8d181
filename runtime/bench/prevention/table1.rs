//! The schedules of FramePack's Table 1.

/// Each once, in the order of the table.
pub const NAMES: [&str; 37] = [
    "td_f8k8f4k4f2k2f1k1_g9",
    "td_f64k8f16k4f4k2f1k1_g9",
    "td_f512k8f64k4f8k2f1k1_g9",
    "td_f512k16f64k8f8k2f1k1_g9",
    "td_f16k4f4k2f1k1_g9",
    "td_f16k4f2k2f1k1_g1",
    "td_f16k4f2k2f1k1_g4",
    "td_f16k4f2k2f1k1_g9",
    "tc_f16k4f2k2f1k1_g9",
    "ta_f16k4f2k2f1k1_g9",
    "td_f8k8f4k4f2k2f1k1_g9_x_f1k1",
    "td_f64k8f16k4f4k2f1k1_g9_x_f1k1",
    "td_f512k8f64k4f8k2f1k1_g9_x_f1k1",
    "td_f512k16f64k8f8k2f1k1_g9_x_f1k1",
    "td_f16k4f4k2f1k1_g9_x_f1k1",
    "td_f16k4f2k2f1k1_g1_x_f1k1",
    "td_f16k4f2k2f1k1_g4_x_f1k1",
    "td_f16k4f2k2f1k1_g9_x_f1k1",
    "tc_f16k4f2k2f1k1_g9_x_f1k1",
    "ta_f16k4f2k2f1k1_g9_x_f1k1",
    "f1k1_x_g9_f1k1f2k2f1k1_g9+D",
    "f1k1_x_g9_f1k1f4k2f1k1_g9+D",
    "f1k1_x_g9_f1k1f8k2f1k1_g9+D",
    "f1k1_x_g9_f1k1f16k4f1k1_g9+D",
    "f1k1_x_g9_f1k1f32k2f1k1_g9+D",
    "f1k1_x_g1_f1k1f2k2f1k1_g9+D",
    "f1k1_x_g1_f1k1f4k2f1k1_g9+D",
    "td_f8k8f4k4f2k2f1k1_g9+D",
    "td_f64k8f16k4f4k2f1k1_g9+D",
    "td_f512k8f64k4f8k2f1k1_g9+D",
    "td_f512k16f64k8f8k2f1k1_g9+D",
    "td_f16k4f4k2f1k1_g9+D",
    "td_f16k4f2k2f1k1_g1+D",
    "td_f16k4f2k2f1k1_g4+D",
    "td_f16k4f2k2f1k1_g9+D",
    "tc_f16k4f2k2f1k1_g9+D",
    "ta_f16k4f2k2f1k1_g9+D",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::arm::Arm;
    use super::*;

    #[test]
    fn every_name_is_an_arm_of_its_own() {
        let arms = NAMES.map(|name| name.parse::<Arm>().unwrap());
        assert!(arms.iter().all(Arm::is_schedule));
        assert_eq!(arms.map(|arm| arm.to_string()), NAMES);
        assert_eq!(BTreeSet::from(NAMES).len(), NAMES.len());
    }
}
