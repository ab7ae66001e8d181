// The world's picture on a quad, scaled to the window.

// Brings the quad (-1..1) to where the picture belongs.
@group(0) @binding(0) var<uniform> placement: mat4x4f;
@group(0) @binding(1) var picture: texture_2d<f32>;

struct Corner {
    @builtin(position) position: vec4f,
    @location(0) uv: vec2f,
}

@vertex
fn quad(@builtin(vertex_index) index: u32) -> Corner {
    // A strip of four corners: left to right, bottom to top.
    let corner = vec2f(f32(index & 1u), f32(index >> 1u));
    var out: Corner;
    out.position = placement * vec4f(corner * 2.0 - 1.0, 0.0, 1.0);
    out.uv = vec2f(corner.x, 1.0 - corner.y);
    return out;
}

fn pixel(at: vec2i, last: vec2i) -> vec3f {
    return textureLoad(picture, clamp(at, vec2i(0), last), 0).rgb;
}

// Catmull-Rom weights of the pixels at -1, 0, 1 and 2 for a place t between 0 and 1.
fn weights(t: f32) -> vec4f {
    let t2 = t * t;
    let t3 = t2 * t;
    return vec4f(
        -0.5 * t + t2 - 0.5 * t3,
        1.0 - 2.5 * t2 + 1.5 * t3,
        0.5 * t + 2.0 * t2 - 1.5 * t3,
        -0.5 * t2 + 0.5 * t3,
    );
}

@fragment
fn nearest(corner: Corner) -> @location(0) vec4f {
    let size = vec2f(textureDimensions(picture));
    return vec4f(pixel(vec2i(corner.uv * size), vec2i(size) - 1), 1.0);
}

// Bilinear in a band one window pixel wide around the edges of pixels, flat inside them.
@fragment
fn crisp(corner: Corner) -> @location(0) vec4f {
    let size = vec2f(textureDimensions(picture));
    let last = vec2i(size) - 1;
    let place = corner.uv * size;
    // Pixels of the picture for each of the window; a picture that is shrunk is plainly bilinear.
    let step = min(fwidth(place), vec2f(1.0));
    let base = vec2i(floor(place - 0.5));
    let t = clamp((fract(place - 0.5) - 0.5) / step + 0.5, vec2f(0.0), vec2f(1.0));
    let upper = mix(pixel(base, last), pixel(base + vec2i(1, 0), last), t.x);
    let lower = mix(pixel(base + vec2i(0, 1), last), pixel(base + vec2i(1, 1), last), t.x);
    return vec4f(mix(upper, lower, t.y), 1.0);
}

@fragment
fn catmull_rom(corner: Corner) -> @location(0) vec4f {
    let size = vec2f(textureDimensions(picture));
    let last = vec2i(size) - 1;
    let place = corner.uv * size - 0.5;
    let base = vec2i(floor(place));
    let wx = weights(fract(place.x));
    let wy = weights(fract(place.y));
    var sum = vec3f(0.0);
    for (var y = 0; y < 4; y++) {
        var row = vec3f(0.0);
        for (var x = 0; x < 4; x++) {
            row += wx[x] * pixel(base + vec2i(x - 1, y - 1), last);
        }
        sum += wy[y] * row;
    }
    return vec4f(clamp(sum, vec3f(0.0), vec3f(1.0)), 1.0);
}
