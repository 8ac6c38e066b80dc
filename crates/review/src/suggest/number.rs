//! The few functions that floating-point standards leave open, made of those that they do not.
//!
//! Addition, subtraction, multiplication, division, comparison and the square root are exact to the last bit in IEEE 754,
//! and Rust neither reorders them nor fuses them. So every device with 64-bit floating-point hardware gives the same result
//! for the same operations in the same order (32-bit x86 with its x87 unit is the known exception, and is not supported).
//! `exp` and `ln` are not among them: each system library rounds its own way. These are built from the exact ones alone;
//! they are accurate to about 1e-14, and equal everywhere.

/// ln 2, in two parts: the first has few enough bits that a whole number of them is exact.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
const LN2: f64 = std::f64::consts::LN_2;

/// e to the power of `x`, for `x` within ±700; what is outside is taken for the bound.
pub(super) fn exp(x: f64) -> f64 {
    let x = if x.is_nan() { 0.0 } else { x.clamp(-700.0, 700.0) };
    let doublings = (x / LN2).round();
    let rest = x - doublings * LN2_HIGH - doublings * LN2_LOW;
    // Taylor's series by Horner's scheme: the rest is within ±0.35, so the term after these is below 1e-17.
    let mut sum = 1.0;
    for n in (1..=14).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    // Within ±1,010, so the exponent is that of a normal number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number within ±1,010")]
    let bits = ((doublings as i64 + 1_023) as u64) << 52;
    sum * f64::from_bits(bits)
}

/// The natural logarithm of a positive normal number; 0 of any other.
pub(super) fn ln(x: f64) -> f64 {
    if !x.is_normal() || x < 0.0 {
        return 0.0;
    }
    let bits = x.to_bits();
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1_023 << 52));
    let exponent = i32::try_from(bits >> 52).expect("eleven bits") - 1_023;
    // Within [√½, √2], where the series is short.
    let (mantissa, exponent) =
        if mantissa > std::f64::consts::SQRT_2 { (mantissa / 2.0, exponent + 1) } else { (mantissa, exponent) };
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for n in (0..=10).rev() {
        sum = sum * square + 1.0 / f64::from(2 * n + 1);
    }
    f64::from(exponent) * LN2 + 2.0 * ratio * sum
}

/// The logistic function.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_the_system_says_but_for_the_last_bits() {
        for i in -6_900..=6_900 {
            let x = f64::from(i) / 10.0 + 0.012_3;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "exp {x}: {} {}", exp(x), x.exp());
            let y = x.exp();
            assert!((ln(y) - y.ln()).abs() < 1e-12, "ln {y}: {} {}", ln(y), y.ln());
            assert!((sigmoid(x) + sigmoid(-x) - 1.0).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn their_bits_are_known() {
        // Written down once: a device that gives others is one on which suggestions would differ.
        assert_eq!(exp(1.0).to_bits(), 0x4005_bf0a_8b14_576a);
        assert_eq!(exp(-0.3).to_bits(), 0x3fe7_b4c8_69c3_7c05);
        assert_eq!(ln(10.0).to_bits(), 0x4002_6bb1_bbb5_5515);
        assert_eq!(sigmoid(0.7).to_bits(), 0x3fe5_61cb_52a1_9476);
    }

    #[test]
    fn nothing_is_infinite() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(exp(odd).is_finite() && exp(odd) > 0.0);
            assert!((0.0..=1.0).contains(&sigmoid(odd)));
        }
        assert_eq!([ln(0.0), ln(-1.0), ln(f64::NAN)], [0.0; 3]);
    }
}
