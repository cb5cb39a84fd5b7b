"use strict";
(() => {
  const seen = JSON.parse(document.getElementById("seen").textContent);
  const form = document.getElementById("pick");
  const views = document.getElementById("views");
  const said = document.getElementById("said");
  const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const draw = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const scale = ([low, high], label) =>
    make("p", { class: "scale" }, make("span", {}, `${low}`), make("i", { "aria-hidden": "true" }),
      make("span", {}, `${high}`), ` ${label}`);

  const answer = (run, picture, index) => {
    const [best] = run.answers[index];
    const truth = seen.classes[picture.truth];
    const right = best[0] === picture.truth;
    const bars = make("ol", { class: "bars", "aria-label": "Probabilities" });
    for (const [label, share] of run.answers[index]) {
      const kind = label === picture.truth ? "fill" : label === best[0] ? "fill wrong" : "fill other";
      const fill = make("i", { class: kind, style: `width:${100 * share}%` });
      bars.append(make("li", {}, make("span", { class: "name" }, seen.classes[label]),
        make("span", { class: "track", "aria-hidden": "true" }, fill), make("span", { class: "number" }, percent(share))));
    }
    return make("div", { class: "answer" },
      make("img", { src: picture.image, alt: `Test picture ${picture.place}, of class ${truth}` }),
      make("div", {},
        make("p", { class: right ? "verdict" : "verdict missed" },
          right ? `Rightly named ${truth}` : `A ${truth}, taken for ${seen.classes[best[0]]}`), bars));
  };

  const overlay = (map, picture, index, strength) => {
    const over = make("img", { src: map.images[index], alt: "", class: "over", style: `opacity:${strength}` });
    const alt = `${map.name} laid over the picture; ${map.notes[index]}`;
    const caption = make("figcaption", {}, make("strong", {}, map.name), make("span", {}, map.reading),
      make("span", { class: "measure" }, map.notes[index]));
    if (map.scale) caption.append(scale(map.scale, map.name.startsWith("attended") ? "× an even look" : "weight"));
    return make("figure", {}, make("div", { class: "stack", role: "img", "aria-label": alt },
      make("img", { src: picture.image, alt: "" }), over), caption);
  };

  const features = (layer, name, index) => {
    const [height, width, channels] = layer.shape;
    const text = `${layer.shown < channels ? `The first ${layer.shown} of ${channels}` : `All ${channels}`} channels of ${name}, ${height} × ${width} each`;
    return make("figure", { class: "features" },
      make("img", { src: layer.features[index], alt: `${text}, from ${layer.limits[0]} to ${layer.limits[1]}` }),
      make("figcaption", {}, make("span", {}, `${text}. One scale for all pictures.`), scale(layer.limits, "activation")));
  };

  const gate = (one, index) => {
    const weights = one.weights[index];
    const [low, high] = one.limits;
    const width = 320, height = 110;
    const x = (i) => (i / weights.length) * width;
    const y = (value) => height - ((value - low) / (high - low)) * height;
    const moved = Math.sqrt(weights.reduce((sum, w, i) => sum + (w - one.usual[i]) ** 2, 0) / weights.length);
    const text = `weights from ${Math.min(...weights).toFixed(2)} to ${Math.max(...weights).toFixed(2)}; ` +
      `${moved.toFixed(3)} from the mean of all pictures`;
    const zero = y(Math.max(0, low));
    const bars = weights.map((w, i) => draw("rect", { class: "bar", x: x(i), width: (width / weights.length) * 0.86,
      y: Math.min(y(w), zero), height: Math.abs(y(w) - zero) }));
    const usual = one.usual.map((w, i) => `M${x(i)} ${y(w)}H${x(i + 1)}`).join("");
    return make("figure", { class: "gate" },
      draw("svg", { viewBox: `0 -2 ${width} ${height + 4}`, role: "img", preserveAspectRatio: "none", "aria-label": `Gate ${one.name}: ${text}` },
        draw("line", { class: "grid", x1: 0, x2: width, y1: y(low), y2: y(low) }),
        draw("line", { class: "grid", x1: 0, x2: width, y1: y(high), y2: y(high) }),
        ...bars, draw("path", { class: "usual", d: usual })),
      make("figcaption", {}, make("strong", {}, one.name),
        make("span", {}, `Bars: weight of each channel for this picture, from ${low} to ${high}. Line: mean of all pictures.`),
        make("span", { class: "measure" }, text)));
  };

  const group = (title, figures, kind) =>
    figures.length ? [make("h4", {}, title), make("div", { class: kind }, ...figures)] : [];

  const show = () => {
    const index = Number(form.elements.picture.value);
    const name = form.elements.layer.value;
    const strength = Number(form.elements.strength.value) / 100;
    const picture = seen.pictures[index];
    const several = seen.runs.length > 1;
    const parts = seen.runs.map((run) => {
      const part = make("div", { class: "card view" });
      if (several) part.append(make("h3", {}, run.name));
      part.append(answer(run, picture, index));
      const layer = run.layers[name];
      if (!layer) {
        part.append(make("p", { class: "note" }, `This network has no ${name}.`));
        return part;
      }
      const block = Number(name.match(/\d+/)[0]);
      const gates = run.gates.filter((one) => one.block === block).map((one) => gate(one, index));
      part.append(
        ...group("Maps over the picture", layer.maps.map((map) => overlay(map, picture, index, strength)), "maps"),
        make("div", { class: "pair" },
          make("div", {}, ...group(`What ${name} gives`, [features(layer, name, index)], "")),
          make("div", {}, ...group("How its attention weighs the channels", gates, "gates"))));
      return part;
    });
    views.replaceChildren(...parts);
    const truth = seen.classes[picture.truth];
    said.textContent = `Test picture ${picture.place}, ${truth}, at ${name}: ` + seen.runs.map((run) => {
      const [label, share] = run.answers[index][0];
      return `${several ? `${run.name} says ` : "named "}${seen.classes[label]} with ${percent(share)}`;
    }).join("; ") + ".";
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => { if (event.target.name !== "strength") show(); });
  form.elements.strength.addEventListener("input", (event) => {
    for (const over of views.querySelectorAll(".over")) over.style.opacity = event.target.value / 100;
  });
  for (const hidden of document.querySelectorAll(".needs-script")) hidden.hidden = false;
  for (const button of document.querySelectorAll("button[data-place]")) {
    const index = seen.pictures.findIndex((picture) => picture.place === Number(button.dataset.place));
    if (index < 0) continue;
    button.hidden = false;
    button.addEventListener("click", () => {
      const radio = form.querySelector(`input[name="picture"][value="${index}"]`);
      radio.checked = true;
      show();
      document.getElementById("explorer").scrollIntoView();
      radio.focus({ preventScroll: true });
    });
  }
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  show();
})();
