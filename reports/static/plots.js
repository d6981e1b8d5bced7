// Plots with ECharts. An element with data-plot-from="ID" draws what element ID holds in data-plot:
// {labels: [], bars: [{code, name, values}], line: {name, values}}, or
// {labels: [], unit, drawn: [{name, colour, kind, dash, values, smooth, mark: {index, value, text}}], target}. Colours come from the style sheet, so dark mode is one place.
"use strict";

(() => {
  const COLOURS = {
    INBOUND: "--c1", OUTBOUND: "--c2", BRIDGED: "--c3", NEWCALL: "--c4", EXTERNAL: "--c5", CREATECCXML: "--c6", UNKNOWN: "--c7",
  };
  const drawn = new Map(); // element -> {chart, text}

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function words(value) {
    return value === null || value === undefined ? "–" : Number(value).toLocaleString("en-GB", { maximumFractionDigits: 2 });
  }

  // A value without neighbours is no line: it gets a point.
  function pointed(values) {
    const known = (value) => value !== null && value !== undefined;
    return values.map((value, at) => (known(value) && !known(values[at - 1]) && !known(values[at + 1]) ? { value, symbol: "circle", symbolSize: 6 } : value));
  }

  // Lines side by side, or bars upon each other; moving averages over them, greatest figures and a target pointed out.
  function lines(plot) {
    const soft = colour("--soft"), edge = colour("--edge"), ink = colour("--ink"), panel = colour("--panel"), bad = colour("--bad");
    const label = { color: soft, fontSize: 11 };
    const many = plot.drawn.filter((each) => each.kind === "line").length > 1;
    const rate = plot.unit === "per cent";
    const series = [];
    plot.drawn.forEach((each, index) => {
      const paint = colour(each.colour);
      const mark = each.mark && {
        symbol: "circle", symbolSize: 7, itemStyle: { color: panel, borderColor: each.kind === "bar" || !each.values.length ? ink : paint, borderWidth: 2 },
        label: { show: !many, formatter: each.mark.text, position: "top", color: ink, fontSize: 11 },
        data: [{ coord: [each.mark.index, each.mark.value] }], silent: true,
      };
      if (each.kind === "bar") {
        series.push({ id: "b" + index, name: each.name, type: "bar", stack: "all", data: each.values, barCategoryGap: "20%", itemStyle: { color: paint } });
        return;
      }
      if (each.values.length || mark) {
        series.push({
          id: "l" + index, name: each.values.length ? each.name : "Greatest", type: "line", data: pointed(each.values), showSymbol: true, symbol: "none",
          connectNulls: false, markPoint: mark || undefined, itemStyle: { color: paint },
          lineStyle: { color: paint, width: each.smooth.length ? 1 : 1.8, opacity: each.smooth.length ? 0.4 : 1, type: each.dash },
        });
      }
      if (each.smooth.length) {
        series.push({
          id: "s" + index, name: each.values.length && plot.drawn.length > 1 ? each.name + ", average" : "Moving average", type: "line", data: each.smooth,
          showSymbol: false, itemStyle: { color: paint }, lineStyle: { color: paint, width: 2.2, type: each.dash }, z: 5,
        });
      }
    });
    if (plot.target !== null && series.length) {
      series[0].markLine = {
        symbol: "none", silent: true, lineStyle: { color: bad, type: "dashed" }, data: [{ yAxis: plot.target }],
        label: { formatter: "target " + words(plot.target) + " %", position: "insideStartTop", color: bad, fontSize: 11 },
      };
    }
    return {
      animation: false, backgroundColor: "transparent",
      grid: { left: 12, right: 24, top: 56, bottom: 8, containLabel: true },
      legend: {
        type: "scroll", top: 0, left: 0, right: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, itemGap: 16, textStyle: { color: soft, fontSize: 12 },
        inactiveColor: edge, pageTextStyle: { color: soft }, pageIconColor: soft, pageIconInactiveColor: edge,
        data: series.filter((each) => each.data.length && !(many && each.id[0] === "s")).map((each) => each.name),
      },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, axisPointer: { type: "line", lineStyle: { color: soft } }, valueFormatter: words,
        backgroundColor: panel, borderColor: edge, borderWidth: 1, textStyle: { color: ink, fontSize: 12 },
      },
      xAxis: { type: "category", data: plot.labels, axisTick: { show: false }, axisLine: { lineStyle: { color: edge } }, axisLabel: { ...label, hideOverlap: true } },
      yAxis: {
        type: "value", name: plot.unit, nameTextStyle: { ...label, align: "left" }, nameGap: 10, axisLabel: label, splitLine: { lineStyle: { color: edge } },
        min: rate ? (extent) => Math.max(0, Math.floor((Math.min(extent.min, plot.target ?? 100) - 2) / 5) * 5) : 0, max: rate ? 100 : null,
      },
      series,
    };
  }

  // Two plots over one time axis: what is in progress above, arrivals below, so that neither hides the other.
  function option(plot) {
    const soft = colour("--soft"), edge = colour("--edge"), ink = colour("--ink"), panel = colour("--panel"), line = colour("--c-line");
    const bars = plot.bars.map((bar) => ({
      id: bar.code, name: bar.name, type: "bar", stack: "arrivals", data: bar.values, barCategoryGap: "20%", xAxisIndex: 1, yAxisIndex: 1,
      itemStyle: { color: colour(COLOURS[bar.code] || "--c7") },
    }));
    const running = {
      id: "line", name: plot.line.name, type: "line", data: plot.line.values, showSymbol: plot.labels.length < 3, symbol: "circle", symbolSize: 5,
      lineStyle: { color: line, width: 1.6 }, itemStyle: { color: line }, areaStyle: { color: line, opacity: 0.12 },
    };
    const label = { color: soft, fontSize: 11 };
    const x = { type: "category", data: plot.labels, axisTick: { show: false }, axisLine: { lineStyle: { color: edge } } };
    const y = {
      type: "value", minInterval: 1, axisLine: { show: false }, axisTick: { show: false }, axisLabel: label, splitLine: { lineStyle: { color: edge } },
      nameGap: 9, nameTextStyle: { ...label, align: "left", padding: [0, 0, 0, -28] },
    };
    return {
      animation: false,
      backgroundColor: "transparent",
      grid: [{ left: 40, right: 34, top: 52, height: "19%" }, { left: 40, right: 34, top: "48%", bottom: 22 }],
      legend: { top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, itemGap: 16, textStyle: { color: soft, fontSize: 12 }, inactiveColor: edge },
      axisPointer: { link: [{ xAxisIndex: "all" }] },
      tooltip: {
        trigger: "axis", renderMode: "richText", confine: true, axisPointer: { type: "shadow", shadowStyle: { color: edge, opacity: 0.35 } },
        backgroundColor: panel, borderColor: edge, borderWidth: 1, textStyle: { color: ink, fontSize: 12 },
      },
      xAxis: [{ ...x, gridIndex: 0, axisLabel: { show: false } }, { ...x, gridIndex: 1, axisLabel: { ...label, hideOverlap: true } }],
      yAxis: [{ ...y, gridIndex: 0, name: "in progress", splitNumber: 2 }, { ...y, gridIndex: 1, name: "arrivals", splitNumber: 4 }],
      series: [...bars, running],
    };
  }

  function draw(element, always) {
    const source = document.getElementById(element.dataset.plotFrom);
    if (!source || !window.echarts || element.clientWidth === 0) return;
    const text = source.dataset.plot;
    const known = drawn.get(element);
    if (known && known.text === text && !always) return;
    const chart = known ? known.chart : echarts.init(element, null, { renderer: "canvas" });
    const plot = JSON.parse(text);
    chart.setOption(plot.drawn ? lines(plot) : option(plot), { replaceMerge: ["series"] });
    drawn.set(element, { chart, text });
    if (!known) new ResizeObserver(() => chart.resize()).observe(element);
  }

  function drawAll(always) {
    document.querySelectorAll("[data-plot-from]").forEach((element) => draw(element, always === true));
  }

  document.addEventListener("DOMContentLoaded", drawAll);
  document.addEventListener("htmx:afterSettle", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
})();
